"""What takes samples out of a finished output, one file at a time; each function finds its own work done when repeated.

Imports: ``lib``, ``outputs``, ``rows``, ``storage``. Start reading at ``takedown``.
"""
