"""Learn a scoring head on embeddings by what its weights teach a reference model (FLYT); plain torch, no Beam inside.

winnow train-flyt --pool out --output my-flyt --downstream 'labelled/*.tar' --class_names names.txt
winnow score-flyt --output out --head my-flyt
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from beam_pipelines import meta
from beam_pipelines.config import TrainFlytConfig
from beam_pipelines.planning import Problems
from transforms.lib import flythead
from transforms.poolbatches import Rows, Survey


def plan(config: TrainFlytConfig, problems: Problems) -> meta.Found | None:
    """Finds out what there is to learn from."""
    return meta.check(config, problems)


def _see(rows: Rows, survey: Survey) -> Any:
    return np.concatenate([rows.arrays["image"], rows.arrays["text"]], 1).astype(np.float32)


def work(config: TrainFlytConfig, found: meta.Found) -> dict[str, Any]:
    """Trains the head and writes it; returns the run's figures."""
    import torch

    source = found.where["image"][0]
    head = flythead.HeadConfig(found.spec.dim, config.hidden_mod, source, dataclasses.asdict(found.spec))
    generator = torch.Generator().manual_seed(config.seed)
    start = flythead.start(head, cosine=config.cosine_start, generator=generator)
    trained = meta.train(config, found, meta.Scorer(start, flythead.apply, _see))
    flythead.save(Path(config.output), {name: trained.params[name] for name in start}, head)
    return trained.figures


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code: 0 done, 2 the request is wrong."""
    return meta.main("train-flyt", argv, plan, work)


if __name__ == "__main__":
    sys.exit(main())
