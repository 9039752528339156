"""Keeping an exact number of samples per cluster: quotas by density, and the rounds that find the cut.

Imports: ``stats``, ``recipes.step`` and the root of ``lib``. Start reading at ``per_cluster``.
"""
