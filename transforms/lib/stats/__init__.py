"""Exact statistics that merge: order statistics, sums, ties, draws, and the summary that a crawl leaves behind.

Imports: the root of ``lib``. Start reading at ``quantiles``.
"""
