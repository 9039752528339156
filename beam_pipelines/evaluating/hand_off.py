"""The scripts that train the models of an evaluation elsewhere, at one of DataComp's scales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from beam_pipelines.config.train import EvaluateConfig
from beam_pipelines.evaluating.arms import Arm
from transforms.lib.errors import ConfigError
from transforms.lib.evaluation import datacomp
from transforms.outputs import selections


def scripts(config: EvaluateConfig, arms: Sequence[Arm]) -> dict[str, str]:
    """Returns file name -> text of a script per arm and seed, which trains the model of a scale with open_clip.

    Raises:
      ConfigError: an arm has no shards, or the batch cannot be divided among the GPUs; all of it at once.
    """
    scale, problems, found = datacomp.SCALES[config.hand_off], [], {}
    if scale.batch_size % (config.gpus * config.accumulate):
        problems.append(
            f"--gpus {config.gpus} times --accumulate {config.accumulate} does not divide the batch of "
            f"{scale.batch_size} of --hand_off {config.hand_off}"
        )
    for arm in arms:
        shards = sorted(Path(arm.pool, "shards").glob("*.tar")) if not (arm.subset or arm.everything) else []
        if not shards:
            problems.append(f"--arm {arm.name} has no shards to train on elsewhere; write them by `winnow reshard`")
            continue
        held = selections.stale(arm.pool, arm.selection)
        if held is not None:
            problems.append(f"--arm {arm.name}: {selections.stale_line(held, arm.selection)}")
        place = f"{shards[0].parent.resolve()}/{{{shards[0].stem}..{shards[-1].stem}}}.tar"
        for seed in range(config.seed, config.seed + config.seeds):
            name = f"{arm.name}-{config.hand_off}-seed-{seed}"
            text = datacomp.command(scale, place, "logs", name, seed, config.gpus, config.accumulate)
            found[f"{name}.sh"] = f"#!/bin/sh\nset -e\n{text}"
    if problems:
        raise ConfigError(problems)
    return found
