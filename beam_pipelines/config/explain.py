"""Flags of ``winnow explain``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainConfig(PoolConfig):
    """Flags of ``explain``."""

    uid: tuple[str, ...] = flag((), "uid of a sample, 1 to 32 hex digits; several at once (required)", positional=True)

    def problems(self) -> list[str]:
        problems = super().problems()
        if not self.uid:
            problems.append("no uid is given; name the samples, for example `winnow explain 139e4a9b... --output OUT`")
        bad = [uid for uid in self.uid if not re.fullmatch(r"[0-9a-fA-F]{1,32}", uid)]
        return [*problems, *(f"{uid!r} is no uid, which has 1 to 32 hex digits" for uid in bad)]

    def wanted(self) -> tuple[str, ...]:
        """Returns the uids as columns have them, each once."""
        return tuple(dict.fromkeys(uid.lower().zfill(32) for uid in self.uid))
