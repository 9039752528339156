"""k-means whose centroids are the same bytes on any machine: exact sums, and exact assignment where it is close.

A float16 is a multiple of 2**-24, so embeddings add up in int64 without rounding, in any order. Centroids are rounded
to the same grid. Then a product of a row and a centroid is a multiple of 2**-48 and, below a norm of 2, fits a float64:
float32 products of BLAS choose the nearest centroid, and wherever two are closer than their rounding can tell, float64
decides without any. So neither the split of a pool, nor threads, nor the kind of processor changes a cluster.

It is ours because neither faiss nor scikit-learn has these properties: both add float32 or float64 in an order that
depends on threads, and neither merges sums of parts.

Source: Lloyd 1982, "Least squares quantization in PCM"; spherical: Dhillon and Modha 2001.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Float64, Int64
from transforms.lib.errors import InputError

METRICS = ("spherical", "euclidean")
UNIT = 2.0**24  # steps of the grid in 1
MAX_NORM = 2.0
_UNIT_TOLERANCE = 0.01  # how far the norm of a unit row may be from 1, as float16 rounds it
_SPLIT = 1 / 1024  # by how much the halves of a split cluster differ, as in faiss
_CHUNK = 1024  # rows worked on at once

HalfRows = NDArray[np.float16]  # [n, dim]
Vectors = Float32  # [k, dim], on the grid


def clusterable(rows: HalfRows, unit: bool) -> Bool:
    """Tells which rows can be clustered: finite and not zero.

    Args:
      rows: float16 ``[n, dim]``.
      unit: whether their norms must be 1, as spherical k-means needs them.

    Returns:
      bool ``[n]``.

    Raises:
      InputError: a finite row has a norm that k-means cannot take.
    """
    norms = np.sqrt(squared_norms(rows))
    inside: Bool = np.isfinite(norms) & (norms > 0)
    wrong = inside & ((norms > MAX_NORM) | (unit & (np.abs(norms - 1) > _UNIT_TOLERANCE)))
    if wrong.any():
        allowed = "1" if unit else f"at most {MAX_NORM:g}"
        raise InputError(
            f"an embedding has norm {norms[np.argmax(wrong)]:.4g}; it must be {allowed}: "
            + ("use --metric euclidean, or " if unit else "")
            + "divide each embedding by its norm"
        )
    return inside


def squared_norms(rows: NDArray[Any]) -> Float64:
    """Returns the squared norms of rows on the grid, exact for norms up to 2; float64 ``[n]``."""
    norms = np.empty(len(rows))
    for at in range(0, len(rows), _CHUNK):
        wide = rows[at : at + _CHUNK].astype(np.float64)
        norms[at : at + _CHUNK] = np.einsum("nd,nd->n", wide, wide)
    return norms


def rounded_to_grid(vectors: NDArray[Any]) -> Vectors:
    """Returns float32 ``[k, dim]``: vectors rounded to multiples of 2**-24, at most 3e-8 away below 1."""
    placed = np.empty(np.shape(vectors), np.float32)
    for at in range(0, len(placed), _CHUNK):
        placed[at : at + _CHUNK] = np.rint(np.asarray(vectors[at : at + _CHUNK], np.float64) * UNIT) / UNIT
    return placed


class ClusterSums(NamedTuple):
    """What rows add to the clusters they are in; any split of a pool adds up to the same.

    Attributes:
      ids: int64 ``[m]``, clusters with rows, ascending.
      vectors: int64 ``[m, dim]``, sums of their rows in steps of 2**-24; room for 2**38 rows.
      counts: int64 ``[m]``, rows.
    """

    ids: Int64
    vectors: Int64
    counts: Int64


def cluster_sums(rows: HalfRows, clusters: NDArray[np.integer[Any]]) -> ClusterSums:
    """Adds up the rows of each cluster, exactly.

    Args:
      rows: float16 ``[n, dim]``, norms at most 2, n below 2**28.
      clusters: ``[n]``, from 0.
    """
    from scipy.sparse import csr_array  # a tenth of a second, which jobs that only read centroids need not wait

    ids, place = np.unique(clusters, return_inverse=True)
    total = np.zeros((len(ids), rows.shape[1]))
    for at in range(0, len(rows), _CHUNK):
        some = place[at : at + _CHUNK]
        which = csr_array((np.ones(len(some)), some, np.arange(len(some) + 1)), shape=(len(some), len(ids)))
        total += which.T @ rows[at : at + _CHUNK].astype(np.float64)
    return ClusterSums(ids.astype(np.int64), (total * UNIT).astype(np.int64), np.bincount(place, minlength=len(ids)))


def squares(rows: HalfRows) -> int:
    """Returns the sum of the squared norms of rows in steps of 2**-24, each rounded to one; they add up exactly."""
    norms = np.rint(squared_norms(rows) * UNIT)
    return sum(int(norms[at : at + _CHUNK].sum()) for at in range(0, len(rows), _CHUNK))


def _dots(left: NDArray[Any], right: NDArray[Any]) -> Float64:
    """Returns the inner products of rows, ``[k]``, added in the order of the dimensions: alike on every machine."""
    total = np.zeros(len(left))
    for one, other in zip(left.T, right.T, strict=True):
        total += one.astype(np.float64) * other
    return total


def inertia(metric: str, sums: ClusterSums, squared: int, centroids: Vectors) -> float:
    """Returns what k-means makes small, of rows assigned to ``centroids``.

    Args:
      metric: ``euclidean``: sum of squared distances; ``spherical``: sum of 1 - cosine, of unit rows.
      sums: of the rows, under the assignment.
      squared: ``squares`` of the rows; not used by ``spherical``.
      centroids: float32 ``[k, dim]``.
    """
    own = centroids[sums.ids]
    products = math.fsum(_dots(sums.vectors / UNIT, own))
    if metric == "spherical":
        return int(sums.counts.sum()) - products
    return squared / UNIT - 2 * products + math.fsum(sums.counts * _dots(own, own))


def update(metric: str, sums: ClusterSums, centroids: Vectors, split: bool) -> Vectors:
    """Returns the next centroids: the means of their rows, or the directions of those under ``spherical``.

    A cluster without rows stays where it is, or, with ``split``, takes half of the largest: that one is split in two as
    faiss splits, by 1/1024 in alternating directions, and counts half from then on.

    Args:
      metric: ``spherical`` or ``euclidean``.
      sums: of all rows, under the assignment to ``centroids``.
      centroids: float32 ``[k, dim]``.
      split: whether empty clusters are filled.
    """
    means = centroids.astype(np.float64)
    means[sums.ids] = _placed(metric, sums.vectors / sums.counts[:, None] / UNIT, means[sums.ids])
    if split and len(sums.ids):
        counts = np.zeros(len(centroids), np.int64)
        counts[sums.ids] = sums.counts
        for empty, full in splits(counts):
            tilt = np.where(np.arange(means.shape[1]) % 2, -_SPLIT, _SPLIT)
            pair = np.stack([means[full] * (1 + tilt), means[full] * (1 - tilt)])
            means[[empty, full]] = _placed(metric, pair, pair)
    return rounded_to_grid(means)


def _placed(metric: str, means: Float64, instead: Float64) -> Float64:
    """Returns means as centroids: unit under ``spherical``, where a mean of zero has no direction and is not taken."""
    if metric != "spherical":
        return means
    norms = np.sqrt(_dots(means, means))[:, None]
    return np.where(norms > 0, means / np.where(norms > 0, norms, 1), instead)


def splits(counts: Int64) -> list[tuple[int, int]]:
    """Returns (empty cluster, cluster to split for it), empty ones in order, each time the largest then, ties first."""
    heap = [(-int(count), number) for number, count in enumerate(counts) if count]
    heapq.heapify(heap)
    pairs = []
    for empty in np.flatnonzero(counts == 0).tolist():
        count, full = heap[0]
        heapq.heapreplace(heap, (-(-count // 2), full))
        heapq.heappush(heap, (-(-count - -count // 2), empty))
        pairs.append((empty, full))
    return pairs


def has_converged(values: tuple[float, ...], tolerance: float) -> bool:
    """Tells whether the last of the inertias per round is better than the one before by at most that share of it."""
    return len(values) > 1 and values[-2] - values[-1] <= tolerance * values[-2]
