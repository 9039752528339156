"""Networks: what ``--model`` names, where its files are, how it is built, and how it embeds.

Imports: ``devices``; torch inside functions only. Start reading at ``resolve``, which turns a name into a
specification with pinned weights, then ``clip``, which embeds.
"""
