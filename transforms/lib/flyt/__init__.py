"""FLYT and M-FLYT: labelled tasks, reference models, the meta-gradient, the scoring head, the mix, and the loop.

Imports: ``devices``, ``models``, ``samples``, ``tar``, ``training``; torch inside functions only. Start reading at
``training_loop``, then ``meta_gradient``.
"""
