"""Train a filtering network on a pool of clean pairs; plain torch on one machine, this one or one of Dataflow's.

winnow train-filter --input 'clean/*.tar' --output my-filter --model tinyclip
winnow curate --model my-filter --input 'crawl/*.tar' --output out
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pipelines.config.jobs import TrainConfig
from beam_pipelines.running import driver
from transforms.lib.errors import ConfigError

if TYPE_CHECKING:
    import apache_beam as beam

    from beam_pipelines.planning.plan_facts import Problems


def check(config: TrainConfig, problems: list[str]) -> list[Any]:
    """Returns the shards to train on, noting everything that is wrong."""
    from transforms.shards import check_images, find_shards
    from transforms.storage import filesystem

    folder = Path(config.output)
    local = "://" not in config.output and folder.exists()
    taken = local and (not folder.is_dir() or any(folder.iterdir()))
    if config.output and (taken or ("://" in config.output and any(filesystem.children(config.output)))):
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
    """Reads the pairs, trains, writes the folder, a remote one by way of a local one; returns the held-out figures."""
    from transforms.storage import filesystem

    if "://" not in config.output:
        return train_here(config, shards, Path(config.output))
    with tempfile.TemporaryDirectory() as temporary:
        figures = train_here(config, shards, Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            filesystem.write_atomic(filesystem.join(config.output, path.name), path.read_bytes())
    return figures


def train_here(config: TrainConfig, shards: Sequence[Any], folder: Path) -> dict[str, Any]:
    """Reads the pairs, trains, writes a local folder; returns the held-out figures."""
    import torch

    from transforms.lib.devices import devices
    from transforms.lib.tar import shard_samples
    from transforms.lib.training import network_folder, projections, towers, training_pairs, training_run
    from transforms.storage import filesystem

    torch.set_num_threads(config.threads or devices.cpu_count())
    devices.keep_freed_memory()
    torch.manual_seed(config.seed)  # a bare architecture starts from random weights
    network = network_folder.open_network(config.model, fetch=filesystem.fetch)

    def pairs_of(shard: Any) -> list[training_pairs.Pair]:
        with filesystem.open_read(shard.uri) as file:
            samples = shard_samples.read_samples(shard_samples.open_tar(file, shard.uri))
            return list(training_pairs.read_pairs(samples, config.caption_field))

    pairs = list(itertools.chain.from_iterable(map(pairs_of, shards)))
    print(f"{len(pairs)} pairs in {len(shards)} shards", file=sys.stderr)
    kind = towers.TowerSettings if config.train == "towers" else projections.FitSettings
    settings = kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})
    result = training_run.run(network, pairs, config.holdout_fraction, settings)
    folder.mkdir(parents=True, exist_ok=True)
    told = {**config.recorded(), "pairs": len(pairs), "held out": int(result.held)}
    return network_folder.save(network, folder, result.history, result.best, told, result.control_auc)


def build(pipeline: beam.Pipeline, config: TrainConfig, shards: Sequence[Any]) -> None:
    """Adds the training, which is one element's work, to ``pipeline``; runs nothing."""
    import apache_beam as beam

    job = pipeline | "Job" >> beam.Create([config]) | beam.Reshuffle()
    _ = job | "Train" >> beam.Map(lambda told: sorted(train(told, shards).items()))


def plan(config: TrainConfig, problems: Problems) -> driver.Work | None:
    """Finds the shards of clean pairs; a pipeline carries the training to another machine, where one is given."""
    shards = check(config, problems)
    if problems.elsewhere and "://" not in config.output:
        problems.append(f"--output {config.output}: a worker's disk is gone with it; name a gs:// or s3:// folder")
    if problems:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        text = f"trained on {len(shards)} shards: {config.output}"
        if problems.elsewhere:
            return text, {"shards": len(shards)}
        return text, {"output": config.output, **train(config, shards)}

    return driver.Work(
        {"shards": len(shards)},
        lambda: None,
        (lambda pipeline: build(pipeline, config, shards)) if problems.elsewhere else None,
        finish,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("train-filter", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
