"""One sample: its caption, its image and pixels, its perceptual hash, and the row that the index keeps of it.

Imports: ``tar``, ``columnstore`` and the root of ``lib``. Start reading at ``index_row``.
"""
