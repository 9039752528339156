"""The state of a training of towers on disk: a run that was stopped goes on to the weights of one that was not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transforms.lib.errors import InputError
from transforms.lib.training.pair_stream import Place

CHECKPOINT = "checkpoint.safetensors"


class State(NamedTuple):
    """Everything that the rest of a run depends on.

    Attributes:
      step: steps that were taken.
      history: one mapping per validation.
      best: the validation with the lowest held-out loss.
      losses: of the steps since the last validation.
      places: lane -> where it is.
      weights: name -> tensor, of the network now.
      kept: name -> tensor, of the network at the best validation.
      moments: ``NAME/first`` and ``NAME/second`` -> tensor, of the optimiser; empty before the first step.
    """

    step: int
    history: list[dict[str, float]]
    best: int
    losses: list[float]
    places: Mapping[int, Place]
    weights: Mapping[str, Any]
    kept: Mapping[str, Any]
    moments: Mapping[str, Any]


def save(state: State, folder: Path, stamp: str) -> None:
    """Writes a checkpoint, whole or not at all, over the one before.

    Args:
      state: of the run.
      folder: that exists.
      stamp: of everything that the run depends on.
    """
    from safetensors.torch import save_file

    groups = {"weights": state.weights, "kept": state.kept, "moments": state.moments}
    tensors = {f"{group}/{name}": value.detach().cpu().clone().contiguous()
               for group, held in groups.items() for name, value in held.items()}  # fmt: skip
    facts = {
        "stamp": stamp,
        "step": state.step,
        "history": state.history,
        "best": state.best,
        "losses": state.losses,
        "places": {str(lane): list(place) for lane, place in state.places.items()},
    }
    there = folder / f"{CHECKPOINT}.new"
    save_file(tensors, there, {"winnow": json.dumps(facts)})
    os.replace(there, folder / CHECKPOINT)


def stamp_of(folder: Path) -> str | None:
    """Returns the stamp of a folder's checkpoint; None where there is none.

    Raises:
      InputError: it is damaged.
    """
    return str(_facts(folder)["stamp"]) if (folder / CHECKPOINT).is_file() else None


def load(folder: Path) -> State:
    """Reads a folder's checkpoint, its tensors on the CPU.

    Raises:
      InputError: it is damaged.
    """
    from safetensors.torch import load_file

    facts = _facts(folder)
    groups: dict[str, dict[str, Any]] = {"weights": {}, "kept": {}, "moments": {}}
    for name, value in load_file(folder / CHECKPOINT).items():
        group, _, rest = name.partition("/")
        groups[group][rest] = value
    places = {int(lane): Place(*place) for lane, place in facts["places"].items()}
    return State(
        facts["step"], facts["history"], facts["best"], facts["losses"], places, groups["weights"], groups["kept"],
        groups["moments"],
    )  # fmt: skip


def _facts(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["winnow"])
        return {name: facts[name] for name in ("stamp", "step", "history", "best", "losses", "places")}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"--output {folder}: {CHECKPOINT} is damaged ({error}); copy it again, or name a new folder to start anew"
        ) from None
