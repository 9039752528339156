"""Files on disks and in buckets: listed, read by ranges, and written whole or not at all.

Imports: ``lib``. Start reading at ``filesystem``; ``clients`` picks the client of
an address, and ``client`` says what a client does.
"""
