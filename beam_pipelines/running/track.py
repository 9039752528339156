"""``--track``: the numbers of a job that has ended, sent to a program that draws them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from transforms.lib import tracking
from transforms.outputs import selections
from transforms.storage import filesystem

METRICS = "metrics.jsonl"
"""What every trainer writes into its output folder: a line of numbers per epoch or step."""


class Point(NamedTuple):
    """A number of a run at a step."""

    step: int
    name: str
    value: float


def record(spec: str, job: str, values: Mapping[str, Any]) -> None:
    """Sends the numbers of a finished job: those of a training, those of its books, and its counts.

    Args:
      spec: value of ``--track``; empty sends nothing.
      job: its name; the run is called ``JOB`` and, after a selection, ``JOB-ID``.
      values: what the job prints as its line of JSON.
    """
    if not spec:
        return
    selection = values.get("selection", "")
    with tracking.open_tracker(spec, f"{job}-{selection}" if selection else job) as tracker:
        for point in points(values):
            tracker.log(*point)


def points(values: Mapping[str, Any]) -> Iterator[Point]:
    """Yields the numbers of a finished job; ``values`` as for ``record``."""
    output = values.get("output", "")
    told = filesystem.read_if_exists(filesystem.join(output, METRICS)) if output else None
    for number, line in enumerate((told or b"").splitlines()):
        row = json.loads(line)
        step = int(row.get("step", row.get("epoch", number)))
        yield from (Point(step, f"train/{name}", value) for name, value in _numbers(row))
    if "kept" in values and output:
        books = selections.find(output, values["selection"]).read("books.json")
        yield from (Point(0, name, value) for name, value in tracking.numbers_of(books).items())
    yield from (Point(0, f"job/{name}", value) for name, value in _numbers(values))
    yield from (Point(0, f"counters/{name}", value) for name, value in _numbers(values.get("counters", {})))


def _numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("step", "epoch"):
            yield name, value
