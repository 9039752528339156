"""Beam PTransforms over WebDataset shards, one stage per module; below, storage, outputs and work on one shard.

No stage imports another one; all speak the element types of ``rows``. Nothing is imported here. Start reading at
``score``.
"""
