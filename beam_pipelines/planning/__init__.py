"""The plan of each job, made before any work starts: what there is to do, and every problem with the request.

Imports: ``config``, ``transforms``. Start reading at ``workspace``, then the module named like the job.
"""
