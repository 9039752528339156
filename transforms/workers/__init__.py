"""Work on one shard, as a worker does it: score, decide, deduplicate, write.

Imports: ``outputs``, ``storage``, ``rows`` and ``lib``; never a stage. Start reading at ``score_shard``.
"""
