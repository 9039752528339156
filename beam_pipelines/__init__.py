"""One job per module, over packages for flags, plans, runs and the cloud; ``commands`` has what runs no pipeline.

A job is ``plan`` (what there is to do, and every problem with the request), ``build`` (the pipeline) and ``main``; no
job imports another one. Start reading at ``curate``.
"""
