"""Commands that no Beam runner runs: they read an output, train on this machine, or ask the cloud; one per module.

Imports: ``cloud``, ``config``, ``evaluating``, ``planning``, ``running``, ``training``,
``transforms``. Start reading at ``explain``.
"""
