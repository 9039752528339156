"""Exact order statistics of scores from mergeable counts, without sorting.

A score becomes an unsigned 32-bit integer of the same order. Counting the upper 16 bits finds the
bin that holds a rank, counting the lower 16 bits inside that bin finds the score itself. Counts add,
so any split of a pool over workers gives the same answer, at any pool size, in two passes of 512 KiB.

Scores in float64 are first ranked as float32, because rounding never changes an order, it only makes ties. Those that
became equal are then ranked by 64-bit integers, 16 bits per pass.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transforms.lib.arrays import Float32, Int64
from transforms.lib.errors import InputError

BINS = 1 << 16
LARGEST_WHOLE = 1 << 53
"""Up to here float64 holds every whole number."""
_SIGN = np.uint32(0x80000000)
_WIDE_SIGN = np.uint64(1 << 63)

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


def wide_bits(scores: NDArray[Any]) -> NDArray[np.uint64]:
    """Maps scores to 64-bit integers of the same order, exactly.

    Args:
      scores: ``[n]``, numbers, no NaN; infinities are allowed; -0.0 counts as 0.0.

    Returns:
      uint64 ``[n]``, none of them 0: ``a < b`` as scores exactly when ``a < b`` as integers.

    Raises:
      InputError: a whole number is so large that float64 cannot tell it from its neighbours.
    """
    values = scores.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
    if scores.dtype.kind in "iu" and (np.abs(values) > LARGEST_WHOLE).any():
        large = int(scores[np.abs(values) > LARGEST_WHOLE][0])
        raise InputError(
            f"a column to rank by holds whole numbers such as {large}, beyond 2**53, which have no exact order here; "
            "subtract a constant from them first"
        )
    bits = values.view(np.uint64)
    return np.where(bits & _WIDE_SIGN, ~bits, bits | _WIDE_SIGN)


def is_wide(kind: np.dtype[Any]) -> bool:
    """Tells whether float32 cannot hold every number of a type."""
    return not np.can_cast(kind, np.float32)


def rounded(scores: NDArray[Any]) -> Float32:
    """Returns numbers as float32, those beyond it as infinities; rounding never swaps two."""
    with np.errstate(over="ignore"):
        narrow: Float32 = scores.astype(np.float32, copy=False)
    return narrow


def wide_score_of(bits: int) -> float:
    """Returns the score whose ``wide_bits`` is ``bits``."""
    key = np.array([bits], np.uint64)
    return float(np.where(key & _WIDE_SIGN, key & ~_WIDE_SIGN, ~key).view(np.float64)[0])


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


def count_digit(keys: NDArray[np.uint64], prefix: int, digit: int) -> Histogram:
    """Counts 16 bits of 64-bit keys, the ``digit``-th from the top, from 0; int64 ``[BINS]``.

    Args:
      keys: uint64 ``[n]``.
      prefix: the digits before it; only keys that begin with them are counted.
      digit: 0 to 3.
    """
    if digit:
        keys = keys[(keys >> np.uint64(64 - 16 * digit)) == np.uint64(prefix)]
    upper = keys >> np.uint64(48 - 16 * digit)
    return np.bincount((upper & np.uint64(0xFFFF)).astype(np.int64), minlength=BINS)


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
