"""Winnow in one's own code: jobs as functions, PTransforms for one's own pipelines, and outputs as tables and arrays.

Imports neither Beam nor torch before something is called. What ``__all__`` names is public: by semantic versioning it
changes in major versions only. Start reading at ``output``.
"""

from typing import TYPE_CHECKING

from transforms.lib.errors import ConfigError, CurationError
from winnow.beam_names import __getattr__ as __getattr__
from winnow.jobs import Result, curate, reshard, score, select
from winnow.output import Output, open

if TYPE_CHECKING:
    from transforms.rows import FileRow, Shard
    from winnow.choosing import ExactQuantile, SoftCapSample, TopFraction
    from winnow.pairs import ScoredPair
    from winnow.reading import ReadWebDataset, ScorePairs
    from winnow.writing import WriteWebDataset

__all__ = [
    "ConfigError",
    "CurationError",
    "ExactQuantile",
    "FileRow",
    "Output",
    "ReadWebDataset",
    "Result",
    "ScorePairs",
    "ScoredPair",
    "Shard",
    "SoftCapSample",
    "TopFraction",
    "WriteWebDataset",
    "curate",
    "open",
    "reshard",
    "score",
    "select",
]
