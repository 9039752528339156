"""Recipes: named lists of steps that turn columns into copies, and the books of what they decided.

Imports: ``columnstore``, ``stats``, ``subsets``, ``clusters``, ``dedup`` and the root of ``lib``. Start reading at
``step``, the contract, then ``recipe``; each step is a module of ``steps``.
"""
