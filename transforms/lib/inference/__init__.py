"""Scoring: samples read ahead, decoded once, and fed to every network in batches; and what that took.

Imports: ``columnstore``, ``devices``, ``models``, ``samples``, ``tar``. Start reading at ``scoring``.
"""
