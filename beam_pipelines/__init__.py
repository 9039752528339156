"""One job per module, over packages for its flags, its plan, its run and the cloud.

A job is ``plan`` (what there is to do, and every problem with the request), ``build`` (the pipeline) and ``main``; no
job imports another one. Start reading at ``curate``.
"""
