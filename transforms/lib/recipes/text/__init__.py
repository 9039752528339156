"""What captions name: entries of a metadata list, and WordNet's synsets.

Imports: the root of ``lib``. Start reading at ``metadata_match``.
"""
