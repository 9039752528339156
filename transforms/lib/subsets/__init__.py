"""Lists of uids: DataComp's subset files, lists in other forms, and a sort whose memory does not grow.

Imports: ``columnstore``. Start reading at ``subset_files``.
"""
