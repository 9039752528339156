"""The axes along which the report counts and shows numbers, laid out from a first look at all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from transforms.lib.arrays import Float64, Int64
from transforms.lib.report import charts, exhibit, sparse_counts
from transforms.lib.report.exhibit import Exhibits
from transforms.lib.report.survey import BITS, Survey

K = TypeVar("K")

BINS = 72  # of a histogram
RUNGS = 20  # of a ladder of pictures
CELLS = 24  # of each side of a grid
GRIDS = 6  # that are drawn at most
_OUTER = 0.002  # share of the samples at either end that an axis may leave to its last bin


class Detail(NamedTuple):
    """What a second look counts and draws, along the axes of the first.

    Attributes:
      histograms: name of a column -> int64 ``[bins, 2]``: all samples that were not rejected, and the kept ones.
      grids: names of two columns -> int64 ``[cells, cells]``: samples by both, the first of them along.
      rungs: name of a column -> int64 ``[rungs, 2]``, as ``histograms``.
      exhibits: samples to show.
    """

    histograms: Mapping[str, Int64]
    grids: Mapping[tuple[str, str], Int64]
    rungs: Mapping[str, Int64]
    exhibits: Exhibits


def edges(survey: Survey, name: str, bins: int) -> Float64 | None:
    """Returns the edges of the bins of a column, float64 ``[at most bins + 2]``; None where it has no number.

    The axis reaches from the smallest to the largest number, unless a few are far from all others: these are counted
    in the first and the last bin. The edges of whole numbers are whole.
    """
    found = survey.columns.get(name, sparse_counts.none(2))
    low, inner_low, inner_high, high = sparse_counts.quantile(found, BITS, (0, _OUTER, 1 - _OUTER, 1))
    if not np.isfinite([low, high]).all():
        return None
    high = float(sparse_counts.lower_edges(found.keys[-1:] + np.uint32(1), BITS)[0])
    if high - low > 1.6 * (inner_high - inner_low) > 0:
        room = 0.1 * (inner_high - inner_low)
        low, high = max(low, inner_low - room), min(high, inner_high + room)
    if (sparse_counts.lower_edges(found.keys, BITS) % 1 == 0).all():
        step = max(1, math.ceil((high - low) / bins))
        first = math.floor(low)
        return np.arange(first, max(high, first + 1) + step, step, dtype=np.float64)
    return charts.linear_bins(float(low), float(high), bins)


def place(values: Float64, limits: Float64) -> Int64:
    """Returns the bin of each number, int64 ``[n]``; those beyond the edges are in the first or the last."""
    inner = np.searchsorted(limits, values, side="right") - 1
    return np.clip(inner, 0, len(limits) - 2).astype(np.int64)


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """Returns which columns are shown against one another, the first ones first."""
    return list(itertools.combinations(names[:4], 2))[:GRIDS]


def add(parts: Iterable[Detail]) -> Detail:
    """Adds what was counted of shards, and keeps of what was drawn the samples of the smallest rank."""
    every = list(parts)
    return Detail(
        _added(part.histograms for part in every),
        _added(part.grids for part in every),
        _added(part.rungs for part in every),
        exhibit.merge(part.exhibits for part in every),
    )


def _added(maps: Iterable[Mapping[K, Int64]]) -> dict[K, Int64]:
    total: dict[K, Int64] = {}
    for one in maps:
        for name, counts in one.items():
            total[name] = total[name] + counts if name in total else counts
    return total
