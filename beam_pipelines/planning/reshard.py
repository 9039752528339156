"""The plan of ``reshard``: how large the output shards are, and the face boxes to blur."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config import captions
from beam_pipelines.config.reshard import ReshardConfig
from beam_pipelines.planning.plan_facts import Problems, narrow, version
from transforms.rows import Shard, ShardRef
from transforms.workers.face_boxes import FaceBoxes
from transforms.workers.write_shard import ReshardSettings


@dataclasses.dataclass(frozen=True)
class ReshardPlan:
    """What ``reshard`` is going to do."""

    settings: ReshardSettings
    facts: dict[str, Any]


def plan_reshard(
    config: ReshardConfig, shards: Sequence[Shard] | Sequence[ShardRef], problems: Problems
) -> ReshardPlan:
    """Returns the settings and facts, equal whichever job reshards; checks that ``shards`` have their face boxes."""
    config = narrow(config, ReshardConfig)
    settings = reshard_settings(config)
    if settings.boxes and shards:
        boxes = problems.collect(settings.boxes.checked, [shard.name for shard in shards])
        settings = dataclasses.replace(settings, boxes=boxes)
    return ReshardPlan(settings, {"configuration": config.recorded(), "version": version()})


def reshard_settings(config: ReshardConfig) -> ReshardSettings:
    """Returns the settings of the workers."""
    return ReshardSettings(
        config.output,
        samples_per_shard=config.samples_per_shard,
        max_shard_bytes=config.max_shard_bytes,
        seed=config.shuffle_seed,
        shuffle=config.shuffle,
        format=config.format,
        coalesce_bytes=config.coalesce_bytes,
        boxes=FaceBoxes(config.blur_faces) if config.blur_faces else None,
        captions=captions.one_of(captions.WRITTEN, config.captions),
    )
