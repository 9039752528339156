"""Density-based pruning as functions of clusters: complexity, shares, and quotas that meet their total exactly.

Source: Abbas et al. 2024, "Effective pruning of web-scale datasets based on complexity of concept clusters",
arXiv:2401.04578, section 3; defaults from its released code and the paper.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float64, Int64
from transforms.lib.errors import CapacityError

_TILE = 2048  # centroids compared with all others at once
_GRID = 2.0**20  # what distances between clusters are rounded to, so that processors agree


def d_inter(centroids: NDArray[Any], neighbours: int) -> Float64:
    """Returns the mean cosine distance of each centroid to its nearest others, to a millionth; float64 ``[k]``.

    Args:
      centroids: ``[k, dim]``; their directions count.
      neighbours: how many of the nearest others; all of them where there are fewer. One centroid alone gets 0.
    """
    wide: NDArray[Any] = np.asarray(centroids, np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    wide = wide / np.where(norms > 0, norms, np.float32(1))
    number = min(neighbours, len(wide) - 1)
    distances = np.zeros(len(wide))
    for at in range(0, len(wide) if number else 0, _TILE):
        cosines = wide[at : at + _TILE] @ wide.T
        here = np.arange(len(cosines))
        cosines[here, at + here] = -np.inf
        nearest = np.partition(cosines, -number, axis=1)[:, -number:]
        distances[at : at + _TILE] = 1 - nearest.mean(axis=1, dtype=np.float64)
    rounded: Float64 = np.rint(distances * _GRID) / _GRID
    return rounded


def shares(complexity: Float64, sizes: Int64, tau: float) -> Float64:
    """Returns each cluster's share of what is kept: the softmax of complexity / tau; 0 for an empty cluster."""
    inside = sizes > 0
    largest = complexity[inside].max()
    pairs = zip(complexity.tolist(), sizes.tolist(), strict=True)
    odds = [math.exp((one - largest) / tau) if size else 0.0 for one, size in pairs]
    normalised: Float64 = np.array(odds) / math.fsum(odds)
    return normalised


def fill(wanted: Float64, total: int, low: Int64, high: Int64) -> Float64:
    """Solves: minimise ``sum (x - wanted)^2 / 2`` subject to ``sum x = total`` and ``low <= x <= high``.

    The conditions of Karush, Kuhn and Tucker give ``x = clip(wanted + level, low, high)`` with one level for all, and
    the sum grows with the level: the level lies between two of the ``2 k`` values where a bound begins or ceases to
    hold, and between them it is one division.

    Args:
      wanted: float64 ``[k]``.
      total: whole, between the sums of ``low`` and ``high``.
      low: int64 ``[k]``.
      high: int64 ``[k]``, at least ``low``.

    Returns:
      float64 ``[k]``.
    """
    levels = np.sort(np.concatenate([low - wanted, high - wanted]))
    below, above = 0, len(levels) - 1
    while above - below > 1:
        middle = (below + above) // 2
        if math.fsum(np.clip(wanted + levels[middle], low, high)) <= total:
            below = middle
        else:
            above = middle
    at = np.clip(wanted + (levels[below] + levels[above]) / 2, low, high)
    free = (at > low) & (at < high)
    rest = total - math.fsum(at[~free]) - math.fsum(wanted[free])
    level = rest / max(int(free.sum()), 1)
    solved: Float64 = np.where(free, np.clip(wanted + level, low, high), at)
    return solved


def quotas(wanted: Float64, total: int, low: Int64, high: Int64) -> Int64:
    """Returns ``fill`` in whole numbers that sum to ``total``: rounded down, and the rest by the largest fractions.

    Raises:
      CapacityError: the bounds do not admit the total.
    """
    if not low.sum() <= total <= high.sum():
        raise CapacityError(f"{total} lies outside {low.sum()} .. {high.sum()}, which the clusters admit")
    exact = fill(wanted, total, low, high)
    whole = np.clip(np.floor(exact).astype(np.int64), low, high)
    while (lacking := total - int(whole.sum())) != 0:
        step = 1 if lacking > 0 else -1
        room = (whole < high) if step > 0 else (whole > low)
        order = np.argsort(np.where(room, -step * (exact - whole), np.inf), kind="stable")
        whole[order[: min(abs(lacking), int(room.sum()))]] += step
    return whole
