"""Bars over an axis, laid out in percent of the drawing, so that letters keep their size on every screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from transforms.lib.arrays import Float64, Int64


class Bar(NamedTuple):
    """One bar.

    Attributes:
      x, width: its place along the axis, in percent.
      height: of all that it counts, in percent of the tallest.
      kept: of the part that is kept.
      label: what it counts, in words.
    """

    x: float
    width: float
    height: float
    kept: float
    label: str


class Tick(NamedTuple):
    """A mark of an axis: its place in percent, its words, and which end of them stands there."""

    at: float
    label: str
    anchor: str = "middle"


class Chart(NamedTuple):
    """Bars, ready to draw.

    Attributes:
      bars: from left to right.
      along: ticks of the axis below.
      across: ticks of heights, from the bottom.
      marks: lines that stand out, such as a threshold.
      low, high: ends of the axis, in the unit of what is counted.
    """

    bars: tuple[Bar, ...]
    along: tuple[Tick, ...]
    across: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    low: float
    high: float


def histogram(edges: Float64, total: Int64, kept: Int64, marks: Sequence[tuple[float, str]] = ()) -> Chart:
    """Lays a histogram out.

    Args:
      edges: float64 ``[bins + 1]``, rising.
      total: int64 ``[bins]``, what each bin counts; one of them at least is not 0.
      kept: int64 ``[bins]``, the kept part.
      marks: (value, words) of lines to draw; those beyond the edges are left out.
    """
    low, high = float(edges[0]), float(edges[-1])
    places = 100 * (edges - low) / (high - low)
    tallest = int(total.max())
    step = nice_step((high - low) / 6)
    names = [plain(edge, step / 100) for edge in edges]
    bars = tuple(
        Bar(
            float(places[i]),
            float(places[i + 1] - places[i]),
            100 * int(total[i]) / tallest,
            100 * int(kept[i]) / tallest,
            f"{names[i]} to {names[i + 1]}: {total[i]:,} samples, {kept[i]:,} kept",
        )
        for i in range(len(total))
        if total[i]
    )
    along = tuple(tick(100 * (mark - low) / (high - low), plain(mark, step)) for mark in multiples(low, high, step))
    lines = tuple(tick(100 * (at - low) / (high - low), words) for at, words in marks if low <= at <= high)
    return Chart(bars, along, heights(tallest), lines, low, high)


def named(rows: Sequence[tuple[str, int, int]]) -> Chart:
    """Lays bars of equal width out, one for each (name, all, kept)."""
    tallest = max((total for _, total, _ in rows), default=0) or 1
    width = 100 / max(len(rows), 1)
    bars = tuple(
        Bar(width * i, width, 100 * total / tallest, 100 * kept / tallest, f"{name}: {total:,}, {kept:,} kept")
        for i, (name, total, kept) in enumerate(rows)
    )
    along = tuple(Tick(width * (i + 0.46), name) for i, (name, _, _) in enumerate(rows))
    return Chart(bars, along, heights(tallest), (), 0, len(rows))


def heights(tallest: int) -> tuple[Tick, ...]:
    """Returns ticks of whole numbers from 0, the tallest bar being 100 percent; 0 itself is the axis."""
    step = max(nice_step(tallest / 4), 1)
    return tuple(Tick(100 * mark / tallest, short(mark)) for mark in multiples(0, tallest, step) if mark)


def multiples(low: float, high: float, step: float) -> list[float]:
    """Returns the multiples of ``step`` from ``low`` to ``high``."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * n + 0.0 for n in range(first, last + 1)]


def nice_step(rough: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, the smallest at least ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def plain(value: float, step: float) -> str:
    """Returns a number with the decimals that set multiples of ``step`` apart."""
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{value:,.{places}f}" if places < 7 and abs(value) < 1e15 else f"{value:.4g}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def short(value: float) -> str:
    """Returns a count in few letters: ``950``, ``12k``, ``3.5M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def tick(at: float, label: str) -> Tick:
    """Returns a tick whose words do not stick out at either end of the axis."""
    return Tick(at, label, "start" if at < 4 else "end" if at > 96 else "middle")


def linear_bins(low: float, high: float, bins: int) -> Float64:
    """Returns float64 ``[bins + 1]``: edges at equal distances from ``low`` to ``high``, or around their one value."""
    if high <= low:
        room = max(abs(low), 1.0) * 1e-3
        low, high = low - room, high + room
    return np.linspace(low, high, bins + 1)
