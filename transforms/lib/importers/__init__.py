"""Tables that other tools wrote: DataComp's metadata, and scores by uid or key.

Imports: ``columnstore`` and the root of ``lib``. Start reading at ``score_table``.
"""
