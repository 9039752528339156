"""Counts of numbers by the upper bits of their order; only those above 0 are there: small, exact, mergeable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Float64, Int64
from transforms.lib.stats import quantiles


class SparseCounts(NamedTuple):
    """Counts by key.

    Attributes:
      keys: uint32 ``[m]``, rising.
      counts: int64 ``[m, c]``, of each key, once for each of ``c`` kinds of samples.
    """

    keys: NDArray[np.uint32]
    counts: Int64


def none(kinds: int) -> SparseCounts:
    """Returns no counts at all, of so many kinds."""
    return SparseCounts(np.zeros(0, np.uint32), np.zeros((0, kinds), np.int64))


def count(keys: NDArray[np.uint32], kinds: Sequence[Bool]) -> SparseCounts:
    """Counts keys, uint32 ``[n]``, among each of several kinds of samples, bool ``[n]``."""
    some = np.logical_or.reduce(kinds)
    distinct, inverse = np.unique(keys[some], return_inverse=True)
    columns = [np.bincount(inverse, kind[some], len(distinct)).astype(np.int64) for kind in kinds]
    return SparseCounts(distinct, np.stack(columns, axis=1))


def add(parts: Iterable[SparseCounts], kinds: int) -> SparseCounts:
    """Adds counts; associative and commutative."""
    every = [none(kinds), *parts]
    keys = np.concatenate([part.keys for part in every])
    counts = np.concatenate([part.counts for part in every])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.intp)
    added = np.add.reduceat(counts[order], starts) if len(keys) else counts
    return SparseCounts(keys[starts], added)


def keys_of(values: NDArray[Any], bits: int, *, down: bool = False) -> NDArray[np.uint32]:
    """Returns the upper ``bits`` bits of the order of numbers, uint32 ``[n]``; of NaN, anything.

    Args:
      values: numbers ``[n]``.
      bits: up to 32; two numbers with equal bits are nearly equal.
      down: numbers become the float32 at or below them, not the nearest, so that a number is at least a float32 exactly
        when its key is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        near = values.astype(np.float32)
        if down:
            above = near.astype(np.float64) > values.astype(np.float64)
            near = np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
    return quantiles.ordered_bits(np.where(np.isnan(near), np.float32(0), near)) >> np.uint32(32 - bits)


def lower_edges(keys: NDArray[np.uint32], bits: int) -> Float32:
    """Returns the smallest float32 of each key, ``[m]``."""
    return quantiles.scores_of(keys << np.uint32(32 - bits))


def at_least(counts: Int64) -> Int64:
    """Returns for each key the counts of it and of all larger ones, int64 ``[m, c]``."""
    summed: Int64 = counts[::-1].cumsum(axis=0)[::-1]
    return summed


def quantile(counts: SparseCounts, bits: int, shares: Sequence[float]) -> Float64:
    """Returns the lower edge of the key below which lies each share of the first kind, float64; NaN where none is."""
    total = counts.counts[:, 0].cumsum()
    if not len(total) or not total[-1]:
        return np.full(len(shares), np.nan)
    places = np.searchsorted(total, np.clip(np.asarray(shares) * total[-1], 1, total[-1]))
    return lower_edges(counts.keys[places], bits).astype(np.float64)
