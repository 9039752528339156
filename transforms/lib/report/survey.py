"""What is counted for the report in one look at every shard: sizes do not grow with the pool, and parts add up."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from transforms.lib.report import sparse_counts
from transforms.lib.report.sparse_counts import SparseCounts

T = TypeVar("T")

BITS = 16  # of a column's numbers: 128 steps from one power of two to the next
BOUND_BITS = 20  # of numbers that a bound can be moved over: 2,048 steps
DRAWN = 2000  # samples that hosts and languages are counted among
GROUPS = 12  # groups of duplicates that are shown, of each column set


class Drawn(NamedTuple):
    """A sample of the pool, drawn by its uid: what there are too many kinds of to count them all."""

    rank: float
    kept: bool
    host: str
    language: str


class Copies(NamedTuple):
    """What a column set says of duplicates: samples that are copies of others, those of them kept, and groups."""

    copies: int
    kept: int
    groups: int


class Group(NamedTuple):
    """A group of duplicates, drawn by the uid of its survivor."""

    rank: float
    uid: str


@dataclasses.dataclass(frozen=True)
class Survey:
    """What was counted of a shard, or of many; ``merge`` adds them.

    Attributes:
      columns: name -> how often numbers occur, of all samples that were not rejected and of the kept ones; by ``BITS``.
      bounds: label of a step -> how often numbers occur by which it decides, among the samples that it ranks, and among
        those that all other steps keep; by ``BOUND_BITS``.
      of: label of a step -> samples that its fraction is of.
      copies: copies -> samples, keys being counts.
      formats: name of an image format -> samples, and kept ones.
      duplicates: column set -> what it says of duplicates.
      groups: column set -> up to ``GROUPS`` groups.
      drawn: up to ``DRAWN`` samples of the smallest rank.
    """

    columns: Mapping[str, SparseCounts] = dataclasses.field(default_factory=dict)
    bounds: Mapping[str, SparseCounts] = dataclasses.field(default_factory=dict)
    of: Mapping[str, int] = dataclasses.field(default_factory=dict)
    copies: SparseCounts = dataclasses.field(default_factory=lambda: sparse_counts.none(1))
    formats: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    duplicates: Mapping[str, Copies] = dataclasses.field(default_factory=dict)
    groups: Mapping[str, tuple[Group, ...]] = dataclasses.field(default_factory=dict)
    drawn: tuple[Drawn, ...] = ()


def merge(parts: Iterable[Survey]) -> Survey:
    """Returns the survey of all parts; associative and commutative."""
    every = list(parts)
    return Survey(
        columns=_merged([one.columns for one in every], lambda found: sparse_counts.add(found, 2)),
        bounds=_merged([one.bounds for one in every], lambda found: sparse_counts.add(found, 2)),
        of=_merged([one.of for one in every], sum),
        copies=sparse_counts.add([one.copies for one in every], 1),
        formats=_merged([one.formats for one in every], lambda found: _sums(found, 2)),
        duplicates=_merged([one.duplicates for one in every], lambda found: Copies(*_sums(found, 3))),
        groups=_merged([one.groups for one in every], lambda found: tuple(sorted({*sum(found, ())})[:GROUPS])),
        drawn=tuple(heapq.nsmallest(DRAWN, (sample for one in every for sample in one.drawn))),
    )


def _merged(maps: Iterable[Mapping[str, Any]], add: Callable[[list[Any]], T]) -> dict[str, T]:
    found: dict[str, list[Any]] = {}
    for one in maps:
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return {name: add(values) for name, values in sorted(found.items())}


def _sums(rows: Iterable[tuple[int, ...]], columns: int) -> Any:
    return tuple(int(total) for total in np.array([*rows], np.int64).reshape(-1, columns).sum(axis=0))
