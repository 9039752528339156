"""Output shards: which copy goes where, and the forms a shard can have.

Imports: ``tar``, ``columnstore`` and the root of ``lib``. Start reading at ``shard_layout``, then ``shard_formats``.
"""
