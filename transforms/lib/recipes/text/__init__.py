"""What captions name: entries of a metadata list, and WordNet's synsets.

Imports: ``columnstore``. Start reading at ``metadata_match``.
"""
