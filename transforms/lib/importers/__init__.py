"""Tables that other tools wrote: DataComp's metadata, and scores by uid or key.

Imports: ``columnstore``, ``subsets``. Start reading at ``score_table``.
"""
