"""From argv to exit code: options, runners, the driver that checks everything before it starts, and shared stages.

Imports: ``cloud``, ``config``, ``planning``, ``transforms``. Start reading at ``driver``.
"""
