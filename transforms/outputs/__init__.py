"""What an output folder holds beside images: columns, books, manifest, lists of uids, and crawls side by side.

Imports: ``storage``, ``rows`` and ``lib``. Start reading at ``store``.
"""
