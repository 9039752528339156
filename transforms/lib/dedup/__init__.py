"""Duplicates: exact, near by perceptual hash, semantic by embedding, and contamination by an evaluation set.

Imports: ``clusters``, ``stats`` and the root of ``lib``. Start reading at ``groups``.
"""
