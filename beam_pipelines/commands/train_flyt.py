"""Train a scoring head on embeddings by the loss of a reference model that learns from its weights (FLYT).

winnow train-flyt --pool out --output my-flyt --downstream 'labelled/*.tar' --class_names names.txt
winnow score-flyt --output out --head my-flyt
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.config.train import TrainFlytConfig
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import driver
from beam_pipelines.training import flyt_training
from transforms.lib.devices import devices
from transforms.lib.flyt import scoring_head
from transforms.lib.models import clip, locate, resolve, tinyclip
from transforms.storage import filesystem
from transforms.workers.pool_batches import PoolBatch, Survey

if TYPE_CHECKING:
    from transforms.lib.flyt.adamw import Params

COLUMN_SET = "flyt_towers"  # name of the embeddings of trained towers


def plan(config: TrainFlytConfig, problems: Problems) -> driver.Work | None:
    """Finds the pool, its embeddings and the labelled pictures."""
    inputs = flyt_training.check(config, problems)
    if problems or inputs is None:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        trained = train(config, inputs)
        return flyt_training.sentence(config, trained), {"output": config.output, **trained.figures}

    return driver.Work(flyt_training.summary(inputs), lambda: None, None, finish)


def _see(rows: PoolBatch, survey: Survey) -> list[NDArray[Any]]:
    return [np.concatenate([rows.arrays["image"], rows.arrays["text"]], 1).astype(np.float32)]


def train(config: TrainFlytConfig, inputs: flyt_training.TrainingInputs) -> flyt_training.Trained:
    """Trains the head, or the head and its towers, and writes them."""
    import torch

    head = scoring_head.HeadConfig(
        inputs.spec.dim, config.hidden_mod, inputs.where["image"][0], dataclasses.asdict(inputs.spec)
    )
    generator = torch.Generator().manual_seed(config.seed)
    start = scoring_head.start(head, cosine=config.cosine_start, generator=generator, noise=config.start_noise)
    if config.train_towers:
        return _with_towers(config, inputs, head, start)
    trained = flyt_training.train(config, inputs, flyt_training.TrainedScorer(start, scoring_head.apply, _see))
    scoring_head.save(Path(config.output), {name: trained.params[name] for name in start}, head)
    return trained


def _with_towers(
    config: TrainFlytConfig, inputs: flyt_training.TrainingInputs, head: scoring_head.HeadConfig, start: Params
) -> flyt_training.Trained:
    """Trains the head with the towers under it, and writes both; the head then reads the embeddings of those towers."""
    from transforms.lib.flyt import trained_towers

    spec = inputs.spec
    found = locate.locate(spec, filesystem.fetch)
    files = tinyclip.text_files() if spec.kind == "tinyclip" else found.text_files()
    model = clip.load(spec, device=config.device, threads=config.threads or None, fetch=filesystem.fetch)
    with ThreadPoolExecutor(devices.cpu_count(), "winnow-decode") as pool:
        towers = trained_towers.TowerScorer(model, config.part_size, pool)

        def see(rows: PoolBatch, survey: Survey) -> Sequence[NDArray[Any]]:
            return towers.see(rows.images, rows.arrays["caption"].tolist())

        trained = flyt_training.train(
            config, inputs, flyt_training.TrainedScorer(towers.start(start), towers.apply, see, with_images=True)
        )
    folder = Path(config.output) / trained_towers.FOLDER
    towers.save(folder, trained.params, found.config, files)
    trained_spec = resolve.resolve(resolve.parse_model(f"{COLUMN_SET}={folder.resolve()}"), variant=spec.variant)
    head = dataclasses.replace(head, column_set=COLUMN_SET, embeddings=dataclasses.asdict(trained_spec))
    scoring_head.save(Path(config.output), {name: trained.params[name] for name in start}, head)
    print(f"`winnow score --model {COLUMN_SET}={folder}` makes the embeddings that the head reads", file=sys.stderr)
    return trained


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("train-flyt", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
