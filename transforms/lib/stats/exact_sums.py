"""Exact sums, means and variances of float32 values: integers per exponent, so that no order of adding matters.

A float32 is an integer of 24 bits times a power of two that its exponent names. Adding the integers of one exponent
in int64, and their squares in two halves, loses nothing; what is left for the end is one exact fraction. So the bytes
do not depend on how a pool is split, and nothing cancels, however far the mean is from zero. It is ours because
``math.fsum`` gives one rounded number, which cannot be merged exactly with another.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64

EXPONENTS = 256
_HALF = 24  # bits in a half of a squared mantissa
_LOWEST = 149  # a float32 is a multiple of 2**-149

ExponentSums = Int64  # [3, EXPONENTS]


class MeanStd(NamedTuple):
    """Mean and population standard deviation, each the exact one rounded."""

    mean: float
    std: float


def sums(values: NDArray[Any]) -> ExponentSums:
    """Adds values by exponent; such sums of parts add up to that of the whole, up to 2**38 values.

    Args:
      values: ``[n]``, finite, n below 2**29; taken as float32.

    Returns:
      int64 ``[3, EXPONENTS]``, 6 KiB: of signed mantissas, and of the upper and lower 24 bits of their squares.

    Raises:
      ValueError: a value is not finite, or lies outside float32.
    """
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    exponent = ((bits >> np.uint32(23)) & np.uint32(0xFF)).astype(np.intp)
    if (exponent == EXPONENTS - 1).any():
        raise ValueError("only finite values have a sum")
    mantissa = ((bits & np.uint32(0x7FFFFF)) | np.where(exponent > 0, 1 << 23, 0).astype(np.uint32)).astype(np.int64)
    square = mantissa * mantissa
    parts = (np.where(bits >> np.uint32(31), -mantissa, mantissa), square >> _HALF, square & ((1 << _HALF) - 1))
    # each part is below 2**24, so that float64, which bincount adds in, is exact for 2**29 of them
    return np.stack([np.bincount(exponent, part, EXPONENTS) for part in parts]).astype(np.int64)


def moments(total: ExponentSums, count: int) -> MeanStd:
    """Returns mean and standard deviation of ``count`` values, at least one, whose ``sums`` are ``total``."""
    first = second = 0
    for exponent, (mantissas, upper, lower) in enumerate(total.T.tolist()):
        shift = max(exponent, 1) - 1
        first += mantissas << shift
        second += ((upper << _HALF) + lower) << (2 * shift)
    mean = Fraction(first, count << _LOWEST)
    variance = Fraction(second, count << (2 * _LOWEST)) - mean * mean
    return MeanStd(float(mean), math.sqrt(variance))
