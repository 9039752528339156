"""One sample: its caption, its image and pixels, its perceptual hash, and the row that the index keeps of it.

Imports: ``columnstore``, ``tar``. Start reading at ``index_row``.
"""
