"""Drawing copies: rules, the race that draws all at once, and the sequential form that defines it.

Imports: ``stats``, ``subsets``, ``recipes.step`` and the root of ``lib``. Start reading at ``draw_step``.
"""
