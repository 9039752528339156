"""Annotators: each makes one column set from columns that are there, without any image.

Imports: ``columnstore``, ``clusters``, ``models`` and the root of ``lib``. Start reading at ``annotator``, the
contract; every other module is one annotator.
"""
