"""Annotators: each makes one column set from columns that are there, without any image.

Imports: ``clusters``, ``columnstore``. Start reading at ``annotator``, the contract; every other module is one
annotator.
"""
