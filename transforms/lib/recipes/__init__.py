"""Recipes: named lists of steps that turn columns into copies, and the books of what they decided.

Imports: ``columnstore``, ``recipes.contract``, ``recipes.steps``, ``stats``. Start reading at ``recipe``;
``contract`` says what a step is, and each step is a module of ``steps``.
"""
