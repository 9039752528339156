"""A sample that the report may show, before its picture is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

Kind = tuple[str, ...]
"""What a sample is shown for: the name of a kind in ``LIMITS``, then which one of it."""

LIMITS = {"kept": 12, "borderline": 12, "drawn": 8, "nearest": 8, "rejected": 4, "rung": 5, "duplicates": 5}
"""Kind -> most samples of it: of all kept ones, of each step, of each reason, of each rung, of each group."""


@dataclasses.dataclass(frozen=True, order=True)
class Exhibit:
    """A sample the report may show: where it lies and what was decided. Orders by ``rank``, then by uid and place.

    Attributes:
      rank: smaller is shown first; a uid hash, or the distance from the threshold.
      row: of the sample in the columns of its shard.
      score: what the column that it is shown for says of it.
      step: that dropped it; empty for a kept one, ``rejected`` for a rejected one.
    """

    rank: float
    uid: str
    shard: str
    row: int
    uri: str
    score: float
    margin: float
    step: str


Exhibits = Mapping[Kind, tuple[Exhibit, ...]]


def merge(parts: Iterable[Exhibits]) -> Exhibits:
    """Returns of each kind the samples of the smallest rank; any split of a pool gives the same."""
    merged: dict[Kind, tuple[Exhibit, ...]] = {}
    for part in parts:
        for kind, exhibits in part.items():
            merged[kind] = tuple(sorted({*merged.get(kind, ()), *exhibits})[: LIMITS[kind[0]]])
    return dict(sorted(merged.items()))
