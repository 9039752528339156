"""Keeping an exact number of samples per cluster: quotas by density, and the rounds that find the cut.

Imports: ``columnstore``, ``recipes.contract``, ``stats``. Start reading at ``per_cluster``.
"""
