"""The record of each job and its settings: frozen dataclasses whose fields are the flags. Imports nothing heavy.

Imports: ``transforms``, of which only the root of ``lib``, which imports nothing heavy. Start reading at ``jobs``, then
``base``.
"""
