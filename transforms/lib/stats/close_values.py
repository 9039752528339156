"""Values wider than float32: which of them float32 makes equal, and on which side of a bound each is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.stats import quantiles, sorted_keys
from transforms.lib.stats.crawl_summary import CrawlSummary


def count_low(values: NDArray[Any], bits: NDArray[np.uint32], high: int) -> Int64:
    """Counts values by the lower 16 of their ``ordered_bits``.

    Args:
      values: ``[n]``.
      bits: uint32 ``[n]``, their ``quantiles.ordered_bits``.
      high: the upper 16 bits; only values with these are counted.

    Returns:
      int64 ``[BINS]``; of a type wider than float32 ``[2, BINS]``, the second row counting values that float32 rounds.
    """
    counts = quantiles.count_low(bits, high)
    if not quantiles.is_wide(values.dtype):
        return counts
    between = quantiles.wide_bits(values) != quantiles.wide_bits(quantiles.rounded(values))
    return np.stack([counts, quantiles.count_low(bits[between], high)])


def recall_low(memory: CrawlSummary, high: int) -> Int64:
    """Returns what ``count_low`` counts of the samples remembered."""
    keys = sorted_keys.keys_in(memory, high)
    counts = quantiles.count_low(keys, high)
    if not memory.has("wide"):
        return counts
    between = sorted_keys.wide_in(memory, high) != quantiles.wide_bits(quantiles.scores_of(keys))
    return np.stack([counts, quantiles.count_low(keys[between], high)])


def compared(values: NDArray[Any], bits: NDArray[np.uint32], bound: int, wide: int) -> NDArray[np.int8]:
    """Says on which side of a bound values are.

    Args:
      values: ``[n]``.
      bits: uint32 ``[n]``, their ``quantiles.ordered_bits``.
      bound: ``quantiles.ordered_bits`` of the bound.
      wide: its ``quantiles.wide_bits``; 0 where all values that are equal in float32 count as equal.

    Returns:
      int8 ``[n]``: -1, 0 or 1 for values below, at and above it.
    """
    sides = (bits > bound).astype(np.int8) - (bits < bound)
    if wide and len(close := np.flatnonzero(sides == 0)):
        exact = quantiles.wide_bits(values[close])
        sides[close] = (exact > np.uint64(wide)).astype(np.int8) - (exact < np.uint64(wide))
    return sides
