"""Exact order statistics of float32 scores from two mergeable counts, without sorting.

A score becomes an unsigned 32-bit integer of the same order. Counting the upper 16 bits finds the
bin that holds a rank, counting the lower 16 bits inside that bin finds the score itself. Counts add,
so any split of a pool over workers gives the same answer, at any pool size, in two passes of 512 KiB.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.lib.arrays import Float32, Int64

BINS = 1 << 16
_SIGN = np.uint32(0x80000000)

Histogram = Int64  # [BINS]


def ordered_bits(scores: ArrayLike) -> NDArray[np.uint32]:
    """Maps scores to integers of the same order.

    Args:
      scores: float32 ``[n]``, no NaN; infinities are allowed; -0.0 counts as 0.0.

    Returns:
      uint32 ``[n]``: ``a < b`` as scores exactly when ``a < b`` as integers.

    Raises:
      ValueError: a score is NaN, which has no rank.
    """
    values = np.asarray(scores, np.float32) + np.float32(0)  # -0.0 + 0.0 is 0.0
    if np.isnan(values).any():
        raise ValueError("NaN has no rank; leave it out before counting")
    bits = values.view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def score_of(bits: int) -> float:
    """Returns the float32 score whose ``ordered_bits`` is ``bits``, as a Python float."""
    return float(scores_of(np.array([bits], np.uint32))[0])


def scores_of(bits: NDArray[np.uint32]) -> Float32:
    """Returns the float32 scores ``[n]`` whose ``ordered_bits`` are ``bits``."""
    return np.where(bits & _SIGN, bits & ~_SIGN, ~bits).view(np.float32)


def count_high(keys: NDArray[np.unsignedinteger], bits: int = 32) -> Histogram:
    """Counts the top 16 bits of ``bits``-wide keys; int64 ``[BINS]`` that sums to ``len(keys)``."""
    return np.bincount((keys >> np.array(bits - 16, keys.dtype)).astype(np.int64), minlength=BINS)


def count_low(keys: NDArray[np.uint32], high: int) -> Histogram:
    """Counts the low 16 bits of those uint32 keys whose top 16 bits are ``high``; int64 ``[BINS]``."""
    inside = keys[(keys >> np.uint32(16)) == high]
    return np.bincount((inside & np.uint32(0xFFFF)).astype(np.int64), minlength=BINS)


def bin_from_top(counts: Histogram, rank: int) -> tuple[int, int]:
    """Finds the bin of the ``rank``-th largest key.

    Args:
      counts: int64 ``[BINS]``, smallest keys first.
      rank: 1-based from the largest, ``1 <= rank <= counts.sum()``.

    Returns:
      ``(bin, left)``: the key lies in ``bin`` and is the ``left``-th largest there, ``left >= 1``.

    Raises:
      ValueError: ``rank`` is out of range.
    """
    tail = counts[::-1].cumsum()
    if not 1 <= rank <= int(tail[-1]):
        raise ValueError(f"rank {rank} is not in 1..{int(tail[-1])}")
    steps = int(np.searchsorted(tail, rank))
    above = int(tail[steps - 1]) if steps else 0
    return BINS - 1 - steps, rank - above


def bin_from_bottom(counts: Histogram, rank: int) -> tuple[int, int]:
    """As ``bin_from_top``, counting from the smallest key."""
    index, left = bin_from_top(counts[::-1], rank)
    return BINS - 1 - index, left


def number_kept(fraction: float, total: int) -> int:
    """Returns how many samples the top ``fraction`` of ``total`` is: ``floor(fraction * total + 1/2)``.

    The fraction is taken as the decimal that the user wrote, so that 0.15 of 10 is 2 and never 1 by rounding.
    """
    return math.floor(Fraction(repr(float(fraction))) * total + Fraction(1, 2))


def number_at_least(fraction: float, total: int) -> int:
    """Returns the smallest whole number of at least ``fraction * total``; the decimal as in ``number_kept``."""
    return math.ceil(Fraction(repr(float(fraction))) * total)
