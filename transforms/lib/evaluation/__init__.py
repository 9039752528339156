"""Proof that a selection is good: train a CLIP model on it from scratch, test it zero-shot, tabulate.

Imports: ``models``, ``report``, ``training``; torch inside functions only. Start reading at ``pretraining``.
"""
