"""What the training jobs find out before any training: data, networks and settings; and the data as they read it.

Imports: ``config``, ``planning``, ``transforms``. Start reading at ``filter_training``, or at ``flyt_training``.
"""
