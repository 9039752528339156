"""Winnow in one's own code: jobs as functions, and what they wrote as tables and arrays.

Imports neither Beam nor torch before something is called. What ``__all__`` names is public: by semantic versioning it
changes in major versions only. Start reading at ``output``.
"""

from transforms.lib.errors import ConfigError, CurationError
from winnow.jobs import Result, curate, reshard, score, select
from winnow.output import Output, open

__all__ = ["ConfigError", "CurationError", "Output", "Result", "curate", "open", "reshard", "score", "select"]
