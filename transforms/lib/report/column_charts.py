"""Columns as the report draws them: each before and after, and two against one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from transforms.lib.arrays import Int64
from transforms.lib.report import axes, charts
from transforms.lib.report.survey import Survey


class ColumnChart(NamedTuple):
    """The histogram of a column, before and after.

    Attributes:
      column: its name.
      read: the recipe reads it.
      chart: all samples, and the kept ones.
      before, after: the median of both.
    """

    column: str
    read: bool
    chart: charts.Chart
    before: str
    after: str


class Cell(NamedTuple):
    """A cell of a grid: its place in percent, how dark it is, from 0 to 1, and what it counts."""

    x: float
    y: float
    shade: float
    label: str


class Grid(NamedTuple):
    """Two columns against one another: the first along, the second upwards; cells are so wide and high, in percent."""

    along: str
    across: str
    cells: tuple[Cell, ...]
    ticks_along: tuple[charts.Tick, ...]
    ticks_across: tuple[charts.Tick, ...]
    width: float
    height: float


def column_charts(
    survey: Survey,
    histograms: Mapping[str, Int64],
    read: Sequence[str],
    marks: Mapping[str, Sequence[tuple[float, str]]],
) -> tuple[ColumnChart, ...]:
    """Lays the histograms out, those of columns that the recipe reads first.

    Args:
      survey: what was counted first.
      histograms: name -> int64 ``[bins, 2]``.
      read: names of columns that the recipe reads or makes.
      marks: name -> (value, words) of bounds.
    """
    drawn = []
    for name in sorted(
        histograms, key=lambda name: (name not in read, [*read].index(name) if name in read else 0, name)
    ):
        limits, counts = axes.edges(survey, name, axes.BINS), histograms[name]
        if limits is None or not counts[:, 0].any():
            continue
        chart = charts.histogram(limits, counts[:, 0], counts[:, 1], marks.get(name, ()))
        medians = [_median(limits, counts[:, kind]) for kind in (0, 1)]
        drawn.append(ColumnChart(name, name in read, chart, *medians))
    return tuple(drawn)


def _median(limits: np.ndarray, counts: Int64) -> str:
    """Returns the middle of the bin that holds the median, in words; a dash where nothing is counted."""
    total = counts.cumsum()
    if not total[-1]:
        return "–"
    bin_ = int(np.searchsorted(total, total[-1] / 2))
    if (np.diff(limits) == 1).all() and limits[0] % 1 == 0:  # a bin is one whole number
        return charts.plain(float(limits[bin_]), 1)
    step = charts.nice_step(float(limits[-1] - limits[0]) / len(counts)) / 2
    return charts.plain(float(limits[bin_] + limits[bin_ + 1]) / 2, step)


def grids(survey: Survey, counted: Mapping[tuple[str, str], Int64]) -> tuple[Grid, ...]:
    """Lays grids out; the shade of a cell is the logarithm of its count."""
    drawn = []
    for (along, across), counts in counted.items():
        limits = [edges for name in (along, across) if (edges := axes.edges(survey, name, axes.CELLS)) is not None]
        if len(limits) < 2 or not counts.any():
            continue
        width, height = 100 / counts.shape[0], 100 / counts.shape[1]
        darkest = np.log1p(counts.max())
        cells = tuple(
            Cell(
                x * width, 100 - (y + 1) * height, float(np.log1p(counts[x, y]) / darkest), f"{counts[x, y]:,} samples"
            )
            for x, y in np.argwhere(counts).tolist()
        )
        ticks = []
        for edges, number in zip(limits, (5, 4), strict=True):
            low, high = float(edges[0]), float(edges[-1])
            step = charts.nice_step((high - low) / number)
            marks = charts.multiples(low, high, step)
            ticks.append(tuple(charts.Tick(100 * (m - low) / (high - low), charts.plain(m, step)) for m in marks))
        drawn.append(Grid(along, across, cells, ticks[0], ticks[1], width, height))
    return tuple(drawn)
