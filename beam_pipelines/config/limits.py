"""Flags of jobs that decide: what of a selection is a failure, and what a repeated uid means. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class LostConfig(PoolConfig):
    """How many shards a job may lose."""

    max_unreadable_fraction: float = flag(
        0.0,
        "largest share of the shards that nothing can be read of (no access, gone, no answer even after retries, no "
        "tar); the job does all others, fails on more, and tries them again in its next run",
        at_least=0,
        at_most=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LimitsConfig(LostConfig):
    """What of a selection is a failure, and what a repeated uid means."""

    max_reject_fraction: float = flag(
        0.01, "largest share of the samples that may be rejected; the job fails on more", at_least=0, at_most=1
    )
    min_coverage: float = flag(
        0.0,
        "smallest share of the uids of a subset file that must be in the pool; the job fails on less, and always when "
        "none is",
        at_least=0,
        at_most=1,
    )
    on_repeated_uid: str = flag(
        "keep",
        "samples that share their uid",
        choices={
            "keep": "each is decided for itself; how many were kept is said",
            "first": "all but the first of the pool are dropped",
            "error": "the job fails when two are kept",
        },
    )
