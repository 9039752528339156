"""Training a filtering network: pairs, projections, early stopping, measures, and the folder it is written to.

Imports: ``models``, ``report``, ``samples``, ``tar``; torch inside functions only. Start reading at ``training_run``.
"""
