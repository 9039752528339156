"""Train a filtering network on a pool of clean pairs; plain torch on one machine, no Beam inside.

winnow train-filter --input 'clean/*.tar' --output my-filter --model tinyclip
winnow curate --model my-filter --input 'crawl/*.tar' --output out
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_pipelines import options
from beam_pipelines.config import TrainConfig
from transforms.lib.errors import ConfigError


def check(config: TrainConfig, problems: list[str]) -> list[Any]:
    """Returns the shards to train on, noting everything that is wrong."""
    from transforms.shards import check_images, find_shards

    folder = Path(config.output)
    if config.output and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problems.append(f"--output {config.output} exists and is not empty; name a new folder")
    if not config.input:
        return []
    try:
        shards = find_shards(config.input)
        check_images(shards)
    except ConfigError as error:
        problems.extend(error.problems)
        return []
    return shards


def train(config: TrainConfig, shards: Sequence[Any]) -> dict[str, Any]:
    """Reads the pairs, trains, writes the folder; returns the held-out figures."""
    import torch

    from transforms import storage
    from transforms.lib import clip, filternet, projections, tarshard, training, trainrun

    torch.set_num_threads(config.threads or clip.cpu_count())
    clip.keep_freed_memory()
    torch.manual_seed(config.seed)  # a bare architecture starts from random weights
    network = filternet.open_network(config.model, fetch=storage.fetch)

    def pairs_of(shard: Any) -> list[training.Pair]:
        with storage.open_read(shard.uri) as file:
            samples = tarshard.read_samples(tarshard.open_tar(file, shard.uri))
            return list(training.read_pairs(samples, config.caption_field))

    pairs = list(itertools.chain.from_iterable(map(pairs_of, shards)))
    print(f"{len(pairs)} pairs in {len(shards)} shards", file=sys.stderr)
    kind = training.TowerSettings if config.train == "towers" else projections.FitSettings
    settings = kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})
    result = trainrun.run(network, pairs, config.holdout_fraction, settings)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    told = {**config.recorded(), "pairs": len(pairs), "held out": int(result.held)}
    return filternet.save(network, folder, result.history, result.best, told, result.control_auc)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code: 0 done, 2 the request is wrong."""
    parsed = options.parse("train-filter", sys.argv[1:] if argv is None else argv)
    config, problems = parsed.config, [*parsed.problems, *(f"{text} is unknown" for text in parsed.beam_args)]
    assert isinstance(config, TrainConfig)
    shards = check(config, problems)
    if not problems and not parsed.dry_run:
        try:
            figures = train(config, shards)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            print(json.dumps({"job": "train-filter", "output": config.output, **figures}, sort_keys=True))
    for line in problems:
        print(f"winnow train-filter: {line}", file=sys.stderr)
    if parsed.dry_run and not problems:
        print(json.dumps({"configuration": config.recorded(), "shards": len(shards)}, indent=1))
    return ConfigError.exit_code if problems else 0


if __name__ == "__main__":
    sys.exit(main())
