"""The record of each job and its settings: frozen dataclasses whose fields are the flags. Imports nothing heavy.

Imports: ``transforms``; of it only ``lib.similar``. Start reading at ``jobs``, then ``base``.
"""
