"""The report: one self-contained HTML page, the same bytes for the same run."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from typing import NamedTuple

import numpy as np

from transforms.lib.arrays import Int64
from transforms.lib.report import cluster_page, templates
from transforms.lib.report.terminal_text import si_bytes
from transforms.lib.report.thumbnail import Thumbnail

CAPTION_SHOWN = 110
CAPTION_TITLE = 500
WIDTH, HEIGHT = 860, 240  # of the histogram, in its own units


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything the report says.

    Attributes:
      title: of the page.
      pool: the input, as the user wrote it.
      recipe: its name.
      sentences: what each step does.
      samples: in the pool; kept + dropped + rejected.
      kept: samples with at least one copy.
      copies: in the output.
      dropped: (step, samples).
      rejected: (reason, samples).
      notices: sentences on samples that are odd and were not rejected for it.
      shards_in: shards of the pool.
      bytes_in: bytes of the pool.
      score_column: what histogram and thumbnails show; empty for none.
      histogram: int64 ``[bins]`` over [-1, 1], all valid samples.
      histogram_kept: int64 ``[bins]``, the kept ones.
      threshold: lowest kept score, None when the recipe has none.
      kept_thumbnails: drawn among the kept.
      dropped_thumbnails: drawn among the dropped.
      borderline_thumbnails: the closest to the bound that decided them.
      clusters: the section of clusters, None for a pool without any.
      settings: name and value of the configuration.
      stamps: name and value.
      stale: a sentence about shards of another selection; empty where there are none.
    """

    title: str
    pool: str
    recipe: str
    sentences: tuple[str, ...]
    samples: int
    kept: int
    copies: int
    dropped: tuple[tuple[str, int], ...]
    rejected: tuple[tuple[str, int], ...]
    notices: tuple[str, ...]
    shards_in: int
    bytes_in: int
    score_column: str
    histogram: Int64
    histogram_kept: Int64
    threshold: float | None
    kept_thumbnails: tuple[Thumbnail, ...]
    dropped_thumbnails: tuple[Thumbnail, ...]
    borderline_thumbnails: tuple[Thumbnail, ...]
    clusters: cluster_page.ClusterSection | None
    settings: tuple[tuple[str, str], ...]
    stamps: tuple[tuple[str, str], ...]
    stale: str = ""


class Bar(NamedTuple):
    """A bin of the histogram: position and size in the drawing, and what it counts."""

    x: float
    width: float
    height: float
    height_kept: float
    label: str


class Tick(NamedTuple):
    """A mark of the score axis."""

    x: float
    label: str


class Chart(NamedTuple):
    """The histogram, ready to draw: bars stand on ``y = HEIGHT``."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    threshold: Tick | None


def chart(histogram: Int64, kept: Int64, threshold: float | None) -> Chart | None:
    """Lays the histogram out over the range of scores that has any; None when there is no score.

    Args:
      histogram: int64 ``[bins]`` over [-1, 1].
      kept: int64 ``[bins]``, at most ``histogram``.
      threshold: marked when it is finite.
    """
    filled = np.flatnonzero(histogram)
    if not len(filled):
        return None
    edges = np.linspace(-1, 1, len(histogram) + 1)
    first, last = max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 1, len(histogram) - 1)
    low, high = float(edges[first]), float(edges[last + 1])
    scale = WIDTH / (high - low)
    tallest = int(histogram.max())
    bars = []
    for i in range(first, last + 1):
        height, height_kept = (HEIGHT * int(counts[i]) / tallest for counts in (histogram, kept))
        label = f"{edges[i]:.3f} to {edges[i + 1]:.3f}: {histogram[i]:,} samples, {kept[i]:,} kept"
        bars.append(Bar((edges[i] - low) * scale, scale * 2 / len(histogram), height, height_kept, label))
    step = _nice_step((high - low) / 7)
    places = max(0, -math.floor(math.log10(step)))
    marks = [step * n for n in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
    ticks = tuple(Tick((mark - low) * scale, f"{mark + 0.0:.{places}f}") for mark in marks)
    line = None
    if threshold is not None and low <= threshold <= high:
        line = Tick((threshold - low) * scale, f"threshold {threshold:.4f}")
    return Chart(tuple(bars), ticks, line)


def _nice_step(rough: float) -> float:
    """Returns 1, 2 or 5 times a power of ten, the smallest at least ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def shortened(text: str, limit: int) -> str:
    """Returns text safe to set among other text: one line, no control or direction characters, shortened."""
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else " " for c in text[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def number(value: float) -> str:
    """Returns a score or margin with a sign and four decimals; a dash where there is none."""
    return f"{value:+.4f}" if math.isfinite(value) else "–"


def render(data: ReportData) -> str:
    """Returns the page."""
    environment = templates.environment()
    environment.filters.update(number=number, si_bytes=si_bytes, plain=shortened)
    dropped, rejected = (sum(count for _, count in rows) for rows in (data.dropped, data.rejected))
    galleries = (
        ("Kept", "drawn among the kept samples", data.kept_thumbnails),
        ("Borderline", "the closest to the bound that decided them", data.borderline_thumbnails),
        ("Dropped", "drawn among the dropped samples", data.dropped_thumbnails),
    )
    return environment.get_template("report.html.j2").render(
        data=data,
        num_dropped=dropped,
        num_rejected=rejected,
        chart=chart(data.histogram, data.histogram_kept, data.threshold),
        galleries=galleries,
        width=WIDTH,
        height=HEIGHT,
        size_width=cluster_page.WIDTH,
        size_height=cluster_page.HEIGHT,
        rounds_width=cluster_page.ROUNDS_WIDTH,
        rounds_height=cluster_page.ROUNDS_HEIGHT,
        shown=CAPTION_SHOWN,
        titled=CAPTION_TITLE,
    )
