"""The steps of recipes, one per module; ``recipes.contract.step`` is their contract.

Imports: ``clusters``, ``columnstore``, ``dedup``, ``recipes.clusters``, ``recipes.contract``, ``recipes.sampling``,
``recipes.text``, ``stats``, ``subsets``. Start reading at ``threshold``, the smallest, then ``top_fraction``.
"""
