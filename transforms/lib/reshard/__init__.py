"""Output shards: which copy goes where, and the forms a shard can have.

Imports: ``columnstore``, ``samples``, ``tar``. Start reading at ``shard_layout``, then ``shard_formats``.
"""
