"""What each job can be told: frozen dataclasses whose fields are the flags. Imports nothing heavy.

Imports: the errors of ``lib``. Start reading at ``base``, then ``jobs``.
"""
