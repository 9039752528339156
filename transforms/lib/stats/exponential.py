"""Exponential draws from hashes of uids, the same to the last bit on every machine.

A pool is drawn from in several passes, on workers of several kinds, and each pass must see the same draws. The
logarithms of numpy and of C libraries differ in the last bit between processors; so this one is ours. It is made of
additions, multiplications and divisions, which IEEE 754 rounds alike everywhere.
"""

from __future__ import annotations

import numpy as np

from transforms.lib.arrays import Float64, Int64, UInt64

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_FRACTION = 52  # bits below a float64's exponent
_LN2 = 0.6931471805599453
_SERIES = [2.0 / (2 * n + 1) for n in range(11)]  # of 2 atanh(s) = 2s + 2s**3/3 + ...; |s| <= 0.172, so 1e-17 is left
_BELOW_ONE = 1 - 2.0**-53


def log(values: Float64) -> Float64:
    """Returns the natural logarithm of positive normal numbers, any shape; within 4e-16 of it, relative."""
    mantissa, exponent = _split(values)
    return _log1p(mantissa - 1) + exponent * _LN2


def exponential(bits: UInt64) -> Float64:
    """Turns uniform 64-bit integers into draws of the exponential distribution with mean 1.

    It is ``-log(1 - u)`` for ``u`` in the middle of one of 2**64 equal parts of (0, 1), so small draws, which decide
    what comes first in a large pool, keep 53 digits: the smallest is 2.7e-20, the largest 36.7.

    Args:
      bits: uint64, any shape.

    Returns:
      float64 of the same shape, positive.
    """
    u = np.minimum((bits.astype(np.float64) + 0.5) * 2.0**-64, _BELOW_ONE)
    mantissa, exponent = _split(1 - u)
    return -(_log1p(np.where(exponent == 0, -u, mantissa - 1)) + exponent * _LN2)


def _split(values: Float64) -> tuple[Float64, Int64]:
    """Returns (m, e) with values = m * 2**e exactly and m in [sqrt(1/2), sqrt(2)), for positive normal numbers."""
    bits = values.view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> _FRACTION
    return (bits - (exponent << _FRACTION)).view(np.float64), exponent


def _log1p(x: Float64) -> Float64:
    s = x / (2 + x)
    z = s * s
    total = np.full_like(z, _SERIES[-1])
    for coefficient in reversed(_SERIES[:-1]):
        total *= z
        total += coefficient
    return s * total
