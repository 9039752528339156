"""Train a filtering network on a pool of clean pairs; plain torch on one machine, this one or one of Dataflow's.

winnow train-filter --input 'clean/*.tar' --output my-filter --model tinyclip
winnow curate --model my-filter --input 'crawl/*.tar' --output out
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_pipelines.config.train_filter import TrainConfig
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import driver
from beam_pipelines.training import filter_data, filter_training
from transforms.lib.devices import devices
from transforms.lib.models import published, resolve
from transforms.lib.training.tower_checkpoint import CHECKPOINT
from transforms.storage import filesystem


def is_free(output: str) -> bool:
    """Returns whether a folder is missing or empty, or holds a training that was stopped."""
    if "://" in output:
        return not any(filesystem.children(output))
    folder = Path(output)
    if (folder / CHECKPOINT).is_file():
        return True
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def find(config: TrainConfig, problems: Problems) -> filter_data.FilterData:
    """Returns what to train on; notes everything that is wrong."""
    if config.output and not is_free(config.output):
        problems.append(f"--output {config.output} exists and is not empty; name a new folder")
    data = filter_data.find(config, problems)
    if config.model not in published.architectures():
        problems.collect(lambda: resolve.find(resolve.parse_model(config.model), fetch=filesystem.fetch))
    if config.device == "cuda":
        problems.collect(devices.device_of, config.device)
    return data


def train(config: TrainConfig, data: filter_data.FilterData) -> dict[str, Any]:
    """Reads the pairs, trains and writes the folder; a remote one is uploaded from a local one.

    Returns:
      the figures of the best epoch on the held-out pairs.
    """
    work = filter_training.towers if config.train == "towers" else filter_training.projections
    if "://" not in config.output:
        return work(config, data, Path(config.output))
    with tempfile.TemporaryDirectory() as temporary:
        figures = work(config, data, Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            filesystem.write_atomic(filesystem.join(config.output, path.name), path.read_bytes())
    return figures


def build(pipeline: beam.Pipeline, config: TrainConfig, data: filter_data.FilterData) -> None:
    """Adds the training to ``pipeline`` as the work of one element; runs nothing."""
    job = pipeline | "Job" >> beam.Create([config]) | beam.Reshuffle()
    _ = job | "Train" >> beam.Map(lambda one: sorted(train(one, data).items()))


def plan(config: TrainConfig, problems: Problems) -> driver.Work | None:
    """Finds the shards of clean pairs; the training runs here, or in a pipeline where the workers are elsewhere."""
    data = find(config, problems)
    shards = data.shards
    if problems.elsewhere and "://" not in config.output:
        problems.append(f"--output {config.output}: a worker's disk is gone with it; name a gs:// or s3:// folder")
    if problems:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        text = f"trained on {len(shards)} shards: {config.output}"
        if problems.elsewhere:
            return text, {"shards": len(shards)}
        return text, {"output": config.output, **train(config, data)}

    return driver.Work(
        {"shards": len(shards)},
        lambda: None,
        (lambda pipeline: build(pipeline, config, data)) if problems.elsewhere else None,
        finish,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code. Of the processes that ``torchrun`` starts, the first one prints."""
    first = os.environ.get("RANK", "0") == "0"
    with contextlib.nullcontext() if first else contextlib.redirect_stdout(io.StringIO()):
        return driver.main("train-filter", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
