"""Scoring: samples read ahead, decoded once, and fed to every network in batches; and what that took.

Imports: ``samples``, ``models``, ``devices``, ``columnstore`` and the root of ``lib``. Start reading at ``scoring``.
"""
