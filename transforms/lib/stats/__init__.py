"""Exact statistics that merge: order statistics, sums, ties, draws, and the summary that a crawl leaves behind.

Imports: ``columnstore``. Start reading at ``quantiles``.
"""
