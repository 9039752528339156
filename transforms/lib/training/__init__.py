"""Training a filtering network: pairs, projections, early stopping, measures, and the folder it is written to.

Imports: ``models``, ``samples``, ``tar`` and the root of ``lib``; torch inside functions only. Start reading at
``training_run``.
"""
