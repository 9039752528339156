"""Names of the package that need Beam: they are imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "ExactQuantile": "winnow.choosing",
    "FileRow": "transforms.rows",
    "ReadWebDataset": "winnow.reading",
    "ScorePairs": "winnow.reading",
    "ScoredPair": "winnow.pairs",
    "Shard": "transforms.rows",
    "SoftCapSample": "winnow.choosing",
    "TopFraction": "winnow.choosing",
    "WriteWebDataset": "winnow.writing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'winnow' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
