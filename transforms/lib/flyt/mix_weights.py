"""M-FLYT's scorer: one linear layer over standardised scores, and the files it is written to.

Shechter and Carmon 2025, arXiv:2503.08805. A bias would add one number to every score of a batch, which the softmax
over it takes out again, so there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params

WEIGHT = "mix.weight"
STEP, FACTS = "mix.yaml", "mix.json"


def start(columns: int) -> Params:
    """Returns the layer before training: zero, so that every sample weighs the same."""
    import torch

    return {WEIGHT: torch.zeros(1, columns)}


def apply(params: Params, x: torch.Tensor) -> torch.Tensor:
    """Returns the scores ``[n]`` of standardised columns ``[n, k]``."""
    from torch.nn import functional

    return functional.linear(x, params[WEIGHT]).squeeze(-1)


def standardised(arrays: Mapping[str, NDArray[Any]], mean: Mapping[str, float], std: Mapping[str, float]) -> Float32:
    """Returns columns of mean 0 and variance 1 over the pool, float32 ``[n, k]``, in the order of ``mean``."""
    found = [(arrays[name].astype(np.float64) - mean[name]) / std[name] for name in mean]
    return np.stack(found, 1).astype(np.float32)


def save(
    folder: Path, names: Sequence[str], params: Params, mean: Mapping[str, float], std: Mapping[str, float]
) -> dict[str, float]:
    """Writes ``mix.yaml``, a step for a recipe, and ``mix.json``, weights with the mean and spread of each column.

    Returns:
      column -> weight.
    """
    weights = dict(zip(names, params[WEIGHT].flatten().tolist(), strict=True))
    facts = {"weights": weights, "mean": dict(mean), "std": dict(std)}
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    lines = [
        "# A step for a recipe, written by `winnow train-mix`; columns are standardised over the pool that is mixed.",
        "mix:",
        "  weights:",
        *(f"    {name}: {weight:.6g}" for name, weight in weights.items()),
        "  standardise: true",
        "  as: mflyt_score",
    ]
    (folder / STEP).write_text("\n".join(lines) + "\n")
    return weights
