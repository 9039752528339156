"""What an output folder holds beside images: columns, books, manifest, lists of uids, and crawls side by side.

Imports: ``lib``, ``rows``, ``storage``. Start reading at ``store``.
"""
