"""The report: one HTML page, the clusters it shows, and the counts at the end of a run as text.

Imports: ``columnstore``, ``recipes``, ``recipes.clusters``, ``recipes.contract``, ``recipes.steps``,
``stats``. Start reading at ``html_page``.
"""
