"""Flags of jobs that must leave samples out. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockConfig(PoolConfig):
    """What must not be in the output, whatever the recipe says."""

    block_list: tuple[str, ...] = flag(
        (),
        "file of what must not be in the output: uids, hosts, urls with *, sha256 or perceptual hashes of images; "
        "text, .csv, .parquet or .npy (docs/removal.md); may be repeated; its drops are in the books as block_list",
    )
    block_radius: int = flag(
        2,
        "most bits of 64 in which the perceptual hash of an image differs from one of --block_list",
        at_least=0,
        at_most=8,
        hint="more bits are no near images",
    )
