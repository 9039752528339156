"""The clusters of the report, ready to draw: a chart of their sizes, k-means' rounds, and rows of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from transforms.lib.report import charts
from transforms.lib.report.gallery import Course, Gallery, tightness

if TYPE_CHECKING:
    from transforms.lib.report.thumbnail import Thumbnail

ROUNDS_WIDTH, ROUNDS_HEIGHT = 860, 90
BARS = 120  # more clusters than that share bars


class Round(NamedTuple):
    """A round of k-means: its place in the drawing, and what it says."""

    x: float
    y: float
    label: str


class Row(NamedTuple):
    """A cluster that is shown.

    Attributes:
      number: of the cluster.
      kinds: what it was chosen for.
      size: samples in it.
      kept: those that are kept.
      tightness: mean similarity to the centroid.
      thumbnails: samples of it, the most alike first.
    """

    number: int
    kinds: tuple[str, ...]
    size: int
    kept: int
    tightness: float
    thumbnails: tuple[Thumbnail, ...]


class ClusterSection(NamedTuple):
    """The section of the report.

    Attributes:
      name: of the column set.
      filled: clusters with a sample.
      samples: in clusters.
      none: samples in no cluster.
      median: of the sizes of clusters with a sample.
      largest: their largest.
      chart: of the sizes, the largest first; None where there is none.
      course: how k-means went; None where it was not run here.
      rounds: of its inertia, to draw.
      rows: clusters with pictures.
    """

    name: str
    filled: int
    samples: int
    none: int
    median: float
    largest: int
    chart: charts.Chart | None
    course: Course | None
    rounds: tuple[Round, ...]
    rows: tuple[Row, ...]


def size_chart(sizes: Sequence[int], kept: Sequence[int]) -> charts.Chart:
    """Returns bars of clusters by size, the largest first, at most ``BARS``; one of several is their mean high.

    Args:
      sizes: samples in each cluster, above 0, the largest first.
      kept: those of them that are kept.
    """
    count = min(len(sizes), BARS)
    edges = [len(sizes) * number // count for number in range(count + 1)]
    bars = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        here = stop - start
        height, height_kept = (100 * sum(part[start:stop]) / here / sizes[0] for part in (sizes, kept))
        total, left = sum(sizes[start:stop]), sum(kept[start:stop])
        who = f"{here:,} clusters, {sizes[stop - 1]:,} to {sizes[start]:,} samples each" if here > 1 else "one cluster"
        label = f"{who}: {total:,} samples, {left:,} kept ({100 * left / total:.1f} %)"
        bars.append(charts.Bar(100 * number / count, 100 / count, height, height_kept, label))
    return charts.Chart(tuple(bars), (), charts.heights(sizes[0]), (), 0, len(sizes))


def rounds_of(inertia: Sequence[float]) -> tuple[Round, ...]:
    """Returns the rounds of k-means from left to right, the highest inertia on top, the lowest at the bottom."""
    span = (max(inertia) - min(inertia)) or 1
    steps = max(len(inertia) - 1, 1)
    return tuple(
        Round(
            ROUNDS_WIDTH * number / steps,
            ROUNDS_HEIGHT * (max(inertia) - value) / span,
            f"round {number + 1}: inertia {value:.6g} per sample",
        )
        for number, value in enumerate(inertia)
    )


def lay_out(drawn: Gallery, thumbnails: Sequence[Thumbnail], course: Course | None) -> ClusterSection:
    """Lays a gallery out.

    Args:
      drawn: the gallery.
      thumbnails: of its exhibits, cluster by cluster in the order of ``shown``.
      course: how k-means went.
    """
    counts, mean = drawn.counts, tightness(drawn.counts)
    order = np.argsort(-counts.sizes, kind="stable")[: int((counts.sizes > 0).sum())]
    rows, at = [], 0
    for number, kinds in drawn.shown.items():
        mine = thumbnails[at : at + len(drawn.exhibits.get(number, ()))]
        at += len(mine)
        mine = sorted(mine, key=lambda thumbnail: (-thumbnail.score, thumbnail.uid))
        size, kept = int(counts.sizes[number]), int(counts.kept[number])
        rows.append(Row(number, kinds, size, kept, float(mean[number]), tuple(mine)))
    sizes = counts.sizes[order]
    return ClusterSection(
        name=drawn.name,
        filled=len(order),
        samples=int(sizes.sum()),
        none=counts.none,
        median=float(np.median(sizes)) if len(sizes) else 0.0,
        largest=int(sizes.max(initial=0)),
        chart=size_chart(sizes.tolist(), counts.kept[order].tolist()) if len(order) else None,
        course=course,
        rounds=rounds_of(course.inertia) if course else (),
        rows=tuple(rows),
    )
