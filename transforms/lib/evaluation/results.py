"""Figures of trained models, over seeds; and DataComp's ``eval_results.jsonl`` of models trained elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from transforms.lib.errors import InputError
from transforms.lib.evaluation import datacomp

Figures = Mapping[str, float]  # TASK.METRIC -> value in [0, 1]


class Summary(NamedTuple):
    """A figure over seeds.

    Attributes:
      mean: of the seeds.
      sd: sample standard deviation; NaN of one seed.
      seeds: how many there are.
    """

    mean: float
    sd: float
    seeds: int


def summarise(runs: Sequence[Figures]) -> dict[str, Summary]:
    """Returns name -> summary over the runs that have the figure, in the order of the first run that has it."""
    names = dict.fromkeys(name for run in runs for name in run)
    found = {}
    for name in names:
        values = [run[name] for run in runs if name in run]
        mean = math.fsum(values) / len(values)
        spread = math.fsum((value - mean) ** 2 for value in values)
        found[name] = Summary(mean, math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else math.nan, len(values))
    return found


def read(path: str) -> dict[str, float]:
    """Reads an ``eval_results.jsonl`` of DataComp's ``evaluate.py``.

    Returns:
      ``SET.main_metric`` of each set that has one, and of the paper's averages as far as their sets are complete:
      ``average.shifts``, ``average.VTAB``, ``average.retrieval``, ``average.all`` (of 38).

    Raises:
      InputError: the file cannot be read, a line is none of DataComp's, or a set stands twice with other figures.
    """
    found: dict[str, float] = {}
    known = {one.key: one for one in datacomp.SETS}
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--results {path} cannot be read ({error}); it is DataComp's eval_results.jsonl") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, metric = str(row["dataset"]), row["metrics"]["main_metric"]
            value = None if metric is None else float(metric)
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"--results {path}: line {number} has no `dataset` and `metrics.main_metric`; it is no line of "
                "DataComp's eval_results.jsonl"
            ) from None
        if value is None:
            continue
        name = known[row["key"]].name if row.get("key") in known else name
        if found.setdefault(f"{name}.main_metric", value) != value:
            raise InputError(f"--results {path}: {name} stands twice, with other figures; keep one of the lines")
    if not found:
        raise InputError(f"--results {path} holds no figure; it is DataComp's eval_results.jsonl")
    return found | _averages(found)


def _averages(found: Figures) -> dict[str, float]:
    groups: dict[str, list[str]] = {}
    for one in datacomp.SETS:
        if one.metric:
            groups.setdefault(one.group, []).append(f"{one.name}.main_metric")
    groups = {name: groups[name] for name in ("shifts", "VTAB", "retrieval")} | {
        "all": [name for names in groups.values() for name in names]
    }
    return {
        f"average.{name}": math.fsum(found[key] for key in keys) / len(keys)
        for name, keys in groups.items()
        if all(key in found for key in keys)
    }
