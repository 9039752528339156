"""A bound that can be moved in the report: how many samples are kept wherever it stands, and the flag that sets it.

Numbers are counted by the upper 20 bits of their order. The places where the bound can stand are lower edges of such
counts, so that what is kept there is known exactly: it is a sum of counts.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.arrays import Float64, Int64
from transforms.lib.report import charts, sparse_counts
from transforms.lib.report.bounds import Bound
from transforms.lib.report.sparse_counts import SparseCounts
from transforms.lib.report.survey import BOUND_BITS
from transforms.lib.report.thumbnail import Thumbnail

PLACES = 1600  # at which a bound can stand, at most


class Rung(NamedTuple):
    """Samples between two numbers.

    Attributes:
      low, high: the numbers.
      label: the same in words.
      samples, kept: how many there are.
      thumbnails: some of them.
    """

    low: float
    high: float
    label: str
    samples: int
    kept: int
    thumbnails: tuple[Thumbnail, ...]


class Ladder(NamedTuple):
    """Pictures along the numbers of a column, the largest first, and their histogram."""

    column: str
    chart: charts.Chart
    rungs: tuple[Rung, ...]


class Panel(NamedTuple):
    """A ladder, and the bound that can be moved along it.

    Attributes:
      id: of its elements on the page.
      title: label of the step, or the column where no bound can be moved.
      ladder: the pictures.
      data: what the script needs, as JSON values; None where there is nothing to move.
      remark: why there is nothing to move, or what to know; empty for nothing.
    """

    id: str
    title: str
    ladder: Ladder
    data: Mapping[str, Any] | None
    remark: str


class Chosen(NamedTuple):
    """How a recipe was given, for the command to paste.

    Attributes:
      start: the command up to its flags: ``winnow select --output OUT``.
      flags: (name, value) of its other flags, the repeated one ``set`` once for each value.
      one_fraction: ``--keep_fraction`` means one step of the recipe.
    """

    start: str
    flags: tuple[tuple[str, str], ...]
    one_fraction: bool

    def flag(self, bound: Bound) -> str:
        """Returns the flag that moves a bound, up to its value."""
        if bound.rule != "at_least" and self.one_fraction:
            return "--keep_fraction "
        return f"--set {shlex.quote(bound.label)}.{'at_least' if bound.rule == 'at_least' else 'fraction'}="

    def whole(self) -> str:
        """Returns the command that makes the selection."""
        return " ".join([self.start, *(f"--{name} {shlex.quote(value)}" for name, value in self.flags)])

    def command(self, bound: Bound) -> str:
        """Returns the whole command but for the flag that moves a bound."""
        parameter = f"{bound.label}.{'at_least' if bound.rule == 'at_least' else 'fraction'}="
        others = tuple(
            (name, value)
            for name, value in self.flags
            if not (name == "keep_fraction" and bound.rule != "at_least")
            and not (name == "set" and value.startswith(parameter))
        )
        return self._replace(flags=others).whole()


def ladder(
    column: str, edges: Float64, counts: Int64, chart: charts.Chart, thumbnails: Mapping[int, tuple[Thumbnail, ...]]
) -> Ladder:
    """Lays a ladder out.

    Args:
      column: its name.
      edges: float64 ``[rungs + 1]``.
      counts: int64 ``[rungs, 2]``, samples and kept ones.
      chart: the histogram.
      thumbnails: number of a rung -> pictures.
    """
    step = charts.nice_step(float(edges[-1] - edges[0]) / len(counts)) / 10
    rungs = [
        Rung(
            low,
            high,
            f"{charts.plain(low, step)} to {charts.plain(high, step)}",
            samples,
            kept,
            tuple(sorted(thumbnails.get(number, ()), key=lambda one: (-one.score, one.uid))),
        )
        for number, (low, high, (samples, kept)) in enumerate(
            zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
        )
        if samples
    ]
    return Ladder(column, chart, tuple(rungs[::-1]))


def panel_data(
    bound: Bound,
    counts: SparseCounts,
    of: int,
    fitted: Mapping[str, Any],
    kept: int,
    samples: int,
    chosen: Chosen | None,
    ends: tuple[float, float],
) -> dict[str, Any] | None:
    """Returns what the script needs to move a bound; None where no number was counted.

    Args:
      bound: which one.
      counts: of the samples that the step ranks, and of those that all other steps keep.
      of: samples that its fraction is of, counted.
      fitted: what was fitted of the step.
      kept: samples that the selection keeps.
      samples: of the pool.
      chosen: how the recipe was given; None where no command gives it.
      ends: of the axis.
    """
    values = sparse_counts.lower_edges(counts.keys, BOUND_BITS).astype(np.float64)
    above = sparse_counts.at_least(counts.counts)
    usable = np.flatnonzero(np.isfinite(values) & (above[:, 0] > 0))
    if not len(usable):
        return None
    places = usable[_spread(values[usable], above[usable, 0], ends)]
    usable_flag = chosen if bound.rule == "at_least" or fitted.get("of") == of else None
    now = fitted.get("threshold")
    return {
        "label": bound.label,
        "rule": bound.rule,
        "of": of,
        "samples": samples,
        "fixed": bound.fixed,
        "low": ends[0],
        "high": ends[1],
        "values": values[places].tolist(),
        "ranked": above[places, 0].tolist(),
        "passing": above[places, 1].tolist(),
        "now": now if isinstance(now, float) and math.isfinite(now) else None,
        "kept": kept,
        "flag": usable_flag.flag(bound) if usable_flag else "",
        "command": usable_flag.command(bound) if usable_flag else "",
    }


def _spread(values: Float64, above: Int64, ends: tuple[float, float]) -> Int64:
    """Returns the places to offer, rising: all of a few; else half of them even along the axis, half by counts."""
    if len(values) <= PLACES:
        return np.arange(len(values), dtype=np.int64)
    half = PLACES // 2
    along = np.searchsorted(values, np.linspace(*ends, half))
    by_count = np.searchsorted(-above, -np.linspace(above[0], 1, half))
    chosen: Int64 = np.unique(np.clip(np.concatenate([along, by_count]), 0, len(values) - 1)).astype(np.int64)
    return chosen


def remark(bound: Bound, of: int, fitted: Mapping[str, Any], later: Sequence[str]) -> str:
    """Returns what to know of a bound that can be moved; empty for nothing.

    Args:
      bound: which one.
      of: samples that its fraction is of, counted.
      fitted: what was fitted of the step.
      later: labels of the steps behind it.
    """
    lines = []
    if not bound.fixed:
        lines.append(
            f"{', '.join(later)} choose anew among what this step leaves. The number is what this step leaves, so at "
            "most so many are kept."
        )
    if bound.rule != "at_least" and fitted.get("of") != of:
        lines.append("This bound was fitted over more than this pool, so no share of this pool gives it.")
    return " ".join(lines)
