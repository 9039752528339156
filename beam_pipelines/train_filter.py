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
from typing import Any

import apache_beam as beam

from beam_pipelines.config.train import TrainConfig
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import driver
from transforms.lib.devices import devices
from transforms.lib.models import published, resolve
from transforms.lib.tar import shard_samples
from transforms.rows import Shard
from transforms.shards import check_images, find_shards
from transforms.storage import filesystem, pool_files


def is_free(output: str) -> bool:
    """Returns whether a folder is missing or empty, so that a training may write to it."""
    if "://" in output:
        return not any(filesystem.children(output))
    folder = Path(output)
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def find(config: TrainConfig, problems: Problems) -> list[Shard]:
    """Returns the shards to train on; notes everything that is wrong."""
    if config.output and not is_free(config.output):
        problems.append(f"--output {config.output} exists and is not empty; name a new folder")
    shards = problems.collect(find_shards, config.input, tell=problems.notes.append) if config.input else None
    if shards:
        problems.collect(check_images, shards)
    if config.model not in published.architectures():
        problems.collect(lambda: resolve.find(resolve.parse_model(config.model), fetch=filesystem.fetch))
    return shards or []


def train(config: TrainConfig, shards: Sequence[Shard]) -> dict[str, Any]:
    """Reads the pairs, trains and writes the folder; a remote one is uploaded from a local one.

    Returns:
      the figures of the best epoch on the held-out pairs.
    """
    if "://" not in config.output:
        return train_here(config, shards, Path(config.output))
    with tempfile.TemporaryDirectory() as temporary:
        figures = train_here(config, shards, Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            filesystem.write_atomic(filesystem.join(config.output, path.name), path.read_bytes())
    return figures


def train_here(config: TrainConfig, shards: Sequence[Shard], folder: Path) -> dict[str, Any]:
    """Reads the pairs, trains and writes a local folder; returns the figures as ``train``."""
    import torch

    from transforms.lib.training import network_folder, projections, towers, training_pairs, training_run

    torch.set_num_threads(config.threads or devices.cpu_count())
    devices.keep_freed_memory()
    torch.manual_seed(config.seed)  # a bare architecture starts from random weights
    network = network_folder.open_network(config.model, fetch=filesystem.fetch)

    def pairs_of(shard: Shard) -> list[training_pairs.Pair]:
        with pool_files.open_shard(shard.uri) as tar:
            samples = shard_samples.read_samples(tar)
            return list(training_pairs.read_pairs(samples, config.caption_field))

    pairs = list(itertools.chain.from_iterable(map(pairs_of, shards)))
    print(f"{len(pairs)} pairs in {len(shards)} shards", file=sys.stderr)
    kind = towers.TowerSettings if config.train == "towers" else projections.FitSettings
    settings = kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})
    result = training_run.run(network, pairs, config.holdout_fraction, settings)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {**config.recorded(), "pairs": len(pairs), "held out": int(result.held)}
    return network_folder.save(network, folder, result.history, result.best, facts, result.control_auc)


def build(pipeline: beam.Pipeline, config: TrainConfig, shards: Sequence[Shard]) -> None:
    """Adds the training to ``pipeline`` as the work of one element; runs nothing."""
    job = pipeline | "Job" >> beam.Create([config]) | beam.Reshuffle()
    _ = job | "Train" >> beam.Map(lambda one: sorted(train(one, shards).items()))


def plan(config: TrainConfig, problems: Problems) -> driver.Work | None:
    """Finds the shards of clean pairs; the training runs here, or in a pipeline where the workers are elsewhere."""
    shards = find(config, problems)
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
