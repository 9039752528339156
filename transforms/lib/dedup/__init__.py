"""Duplicates: exact, near by perceptual hash, semantic by embedding, and contamination by an evaluation set.

Imports: ``clusters``, ``columnstore``, ``stats``. Start reading at ``groups``.
"""
