"""Winnow in one's own code: what a job wrote, as tables and arrays.

Imports neither Beam nor torch before something is called. What ``__all__`` names is public: by semantic versioning it
changes in major versions only. Start reading at ``output``.
"""

from transforms.lib.errors import ConfigError, CurationError
from winnow.output import Output, open

__all__ = ["ConfigError", "CurationError", "Output", "open"]
