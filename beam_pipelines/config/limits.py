"""Flags of jobs that decide: what of a selection is a failure, and what a repeated uid means. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig
from transforms.lib.tar_limits import TarLimits

_LIMITS = TarLimits()


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TarConfig(PoolConfig):
    """How much of a tar is read."""

    max_sample_bytes: int = flag(1 << 28, "most bytes of a sample; larger ones are rejected", at_least=1)
    max_member_bytes: int = flag(
        _LIMITS.max_member_bytes,
        "most bytes of one member of a tar; samples with a larger one are rejected",
        at_least=1,
    )
    max_name_bytes: int = flag(
        _LIMITS.max_name_bytes, "most bytes of a member's name; Linux allows paths of 4096", at_least=1
    )
    max_header_bytes: int = flag(
        _LIMITS.max_header_bytes,
        "most bytes of a pax or GNU header, which holds long names and attributes",
        at_least=512,
    )
    max_empty_members: int = flag(
        _LIMITS.max_empty_members, "most members without data in a shard; reading stops there", at_least=0
    )
    max_unpacked_bytes: int = flag(
        _LIMITS.max_unpacked_bytes, "most bytes to which a packed shard unpacks; reading stops there", at_least=1
    )
    max_unpack_ratio: int = flag(
        _LIMITS.max_unpack_ratio,
        "most bytes unpacked for each byte of a packed shard, from 64 MiB on; images have about 1, zeros 1000 and more",
        at_least=1,
    )
    max_caption_bytes: int = flag(
        _LIMITS.max_caption_bytes,
        "most bytes of a caption; samples with a larger one are rejected",
        at_least=1,
    )

    @property
    def tar_limits(self) -> TarLimits:
        """The limits of tars."""
        return TarLimits(**{field.name: getattr(self, field.name) for field in dataclasses.fields(TarLimits)})
