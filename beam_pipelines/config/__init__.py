"""What each job can be told: frozen dataclasses whose fields are the flags. Imports nothing heavy.

Imports: ``transforms``, of which only the errors and the registry, which import nothing heavy.
Start reading at ``base``, then ``jobs``.
"""
