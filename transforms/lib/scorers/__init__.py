"""Scorers: each gives every image one number from its pixels, beside the networks and on their decode.

Imports: ``models``. Start reading at ``image_quality``; ``models.scorer`` says what a scorer is.
"""
