"""Drawing copies: rules, the race that draws all at once, and the sequential form that defines it.

Imports: ``columnstore``, ``recipes.contract``, ``stats``. Start reading at ``draw_step``.
"""
