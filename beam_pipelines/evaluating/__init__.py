"""What ``evaluate`` finds out before any training, and its trainings.

Imports: ``config``, ``planning``, ``transforms``. Start reading at ``arms``, then ``trainings``.
"""
