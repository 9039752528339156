"""Files on disks and in buckets: listed, read by ranges, and written whole or not at all.

Imports: ``lib``. Start reading at ``filesystem``; ``client`` is the contract of a store's client, and
``clients`` picks the one of an address.
"""
