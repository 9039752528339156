"""Work on one shard, as a worker does it: score, decide, deduplicate, write.

Imports: ``lib``, ``outputs``, ``rows``, ``storage``. Start reading at ``score_shard``.
"""
