"""Google Cloud: launch requests, template metadata, worker presets, and costs.

Imports: ``config``, ``transforms``. Start reading at ``launch_request``.
"""
