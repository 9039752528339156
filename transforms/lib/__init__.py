"""Rules as functions of arrays and bytes, one package per subject; nothing here knows Beam.

Errors, uids, stamps and byte ranges stand at the root, and every package may import them. Start reading at ``recipes``.
"""
