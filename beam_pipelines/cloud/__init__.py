"""Google Cloud: launch requests, template metadata, worker presets, and costs.

Imports: ``config``, ``running``. Start reading at ``launch_request``.
"""
