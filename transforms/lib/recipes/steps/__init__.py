"""The steps of recipes, one per module; ``recipes.step`` is their contract.

Imports: the parts of ``lib`` that recipes may import. Start reading at ``threshold``, the smallest, then
``top_fraction``.
"""
