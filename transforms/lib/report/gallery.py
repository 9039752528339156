"""Clusters for the report: how many samples each has and keeps, how alike they are, and which clusters to show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Float64, Int64
from transforms.lib.recipes.clusters.per_cluster import GRID
from transforms.lib.report.exhibit import Exhibit

KINDS = ("largest", "smallest", "tightest", "widest")
OF_EACH = 3  # clusters of each kind
PICTURES = 8  # samples of a cluster


class Tally(NamedTuple):
    """What is counted of each cluster; tallies of shards add up to that of the pool, in any order.

    Attributes:
      sizes: int64 ``[k]``, samples in each cluster.
      kept: int64 ``[k]``, those of them with a copy in the output.
      similarity: int64 ``[k]``, sums of their similarities to the centroid, in steps of 2**-30.
      none: samples that are in no cluster.
    """

    sizes: Int64
    kept: Int64
    similarity: Int64
    none: int


def tally(cluster: NDArray[np.int32], similarity: Float32, kept: Bool) -> Tally:
    """Counts the samples of a shard.

    Args:
      cluster: int32 ``[n]``, negative for a sample in none.
      similarity: float32 ``[n]``, to the centroid.
      kept: bool ``[n]``.
    """
    inside = cluster >= 0
    some = cluster[inside]
    steps = np.bincount(some, np.rint(similarity[inside].astype(np.float64) * GRID))
    kept_sizes = np.bincount(some, kept[inside])
    return Tally(
        np.bincount(some).astype(np.int64),
        kept_sizes.astype(np.int64),
        steps.astype(np.int64),
        int(len(cluster) - inside.sum()),
    )


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """Adds tallies."""
    empty = np.zeros(0, np.int64)
    total = Tally(empty, empty, empty, 0)
    for one in tallies:
        k = max(len(total.sizes), len(one.sizes))
        sizes, kept, similarity = (
            np.pad(left, (0, k - len(left))) + np.pad(right, (0, k - len(right)))
            for left, right in zip(total[:3], one[:3], strict=True)
        )
        total = Tally(sizes, kept, similarity, total.none + one.none)
    return total


def tightness(counts: Tally) -> Float64:
    """Returns the mean similarity of each cluster's samples to its centroid, float64 ``[k]``; NaN for an empty one."""
    sizes = counts.sizes
    return np.where(sizes > 0, counts.similarity / GRID / np.maximum(sizes, 1), np.nan)


def choose(counts: Tally) -> dict[int, tuple[str, ...]]:
    """Chooses the clusters to show: all of a few, else three of each of ``KINDS``.

    The tightest and the widest are sought among clusters that fill their row of pictures, where there are any: one
    sample alone is always near its centroid. Equal ones go by number.

    Returns:
      cluster -> the kinds it was chosen for, none where all are shown; in the order to show them.
    """
    filled = np.flatnonzero(counts.sizes)
    if len(filled) <= OF_EACH * len(KINDS):
        return {int(number): () for number in filled[np.argsort(-counts.sizes[filled], kind="stable")]}
    full = filled[counts.sizes[filled] >= PICTURES]
    rich = full if len(full) else filled
    mean = tightness(counts)
    ranks = (
        filled[np.argsort(-counts.sizes[filled], kind="stable")],
        filled[np.argsort(counts.sizes[filled], kind="stable")],
        rich[np.argsort(-mean[rich], kind="stable")],
        rich[np.argsort(mean[rich], kind="stable")],
    )
    found: dict[int, tuple[str, ...]] = {}
    for kind, numbers in zip(KINDS, ranks, strict=True):
        for number in numbers[:OF_EACH].tolist():
            found[number] = (*found.get(number, ()), kind)
    return found


Exhibits = Mapping[int, tuple[Exhibit, ...]]


def merge(parts: Iterable[Exhibits]) -> Exhibits:
    """Returns of each cluster the ``PICTURES`` samples of the smallest rank; any split of a pool gives the same."""
    merged: dict[int, tuple[Exhibit, ...]] = {}
    for part in parts:
        for number, exhibits in part.items():
            merged[number] = tuple(sorted({*merged.get(number, ()), *exhibits})[:PICTURES])
    return merged


class Gallery(NamedTuple):
    """The clusters of a pool as the report shows them.

    Attributes:
      name: of their column set.
      counts: of all clusters.
      shown: cluster -> the kinds it was chosen for.
      exhibits: cluster -> samples of it, of the smallest rank; ``score`` is the similarity.
    """

    name: str
    counts: Tally
    shown: Mapping[int, tuple[str, ...]]
    exhibits: Exhibits


class Course(NamedTuple):
    """How k-means went.

    Attributes:
      samples: it was fitted on.
      pool: samples there were.
      inertia: of each round, a sample.
    """

    samples: int
    pool: int
    inertia: tuple[float, ...]


def course(fit: bytes | None) -> Course | None:
    """Returns what a ``fit.json`` says of its rounds; None where there is none, as of centroids that were given."""
    facts: dict[str, Any] = json.loads(fit or b"{}")
    samples = facts.get("samples", {}).get("fitted_on", 0)
    inertia = tuple(value / samples for value in facts.get("inertia", ())) if samples else ()
    if not inertia or not all(map(math.isfinite, inertia)):
        return None
    return Course(samples, facts["samples"]["pool"], inertia)
