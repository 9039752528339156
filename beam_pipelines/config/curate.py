"""Flags of ``winnow curate``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config import captions
from beam_pipelines.config.crawl import GateConfig
from beam_pipelines.config.reshard import ReshardConfig
from beam_pipelines.config.score import ScoreConfig
from beam_pipelines.config.select import SelectConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateConfig(ScoreConfig, SelectConfig, ReshardConfig, GateConfig):
    """Flags of ``curate``: those of score, select, reshard and publish."""

    captions: str = captions.both_flags()
