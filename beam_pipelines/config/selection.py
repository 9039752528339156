"""The flag of jobs that read what ``select`` decided. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Form, flag
from beam_pipelines.config.crawl import PoolConfig

CURRENT = "current"
"""Name of a selection that is given no other."""

_WORDS = "letters, digits, _ and -"
NAME = Form(r"(?![0-9a-f]{16}$)[A-Za-z0-9_-]{1,64}", f"{_WORDS}, at most 64, and not look like an ID")
"""Form of the name of a selection."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectionConfig(PoolConfig):
    """Which selection of the pool a job reads."""

    selection: str = flag(
        "",
        "name or ID of the selection to read; default: that of the last `winnow select` without --name",
        form=Form(r"[A-Za-z0-9_-]{1,64}", f"{_WORDS}, at most 64"),
        operational=True,
    )
