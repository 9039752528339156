"""Which hashes of 64 bits lie near one of a list: by bands, of which close hashes share one."""

from __future__ import annotations

import numpy as np

from transforms.lib.arrays import Bool, UInt64
from transforms.lib.dedup.hamming import bands, distance

_PAIRS = 1 << 20  # compared at once


def near_listed(hashes: UInt64, listed: UInt64, radius: int) -> Bool:
    """Finds the hashes that differ from one of a list in few bits.

    Cost: per band a sort of the list, and a comparison with each listed hash of the same band; about
    ``n * m * (radius + 1) / 2**(64 / (radius + 1))`` comparisons, a million at once.

    Args:
      hashes: uint64 ``[n]``.
      listed: uint64 ``[m]``.
      radius: most bits in which two hashes differ, 0 .. 15.

    Returns:
      bool ``[n]``.
    """
    found = np.zeros(len(hashes), bool)
    for mask in map(np.uint64, bands(radius)):
        order = np.argsort(listed & mask, kind="stable")
        keys, ordered = (listed & mask)[order], listed[order]
        rows = np.flatnonzero(~found)
        low = np.searchsorted(keys, hashes[rows] & mask, "left")
        count = np.searchsorted(keys, hashes[rows] & mask, "right") - low
        ends = np.cumsum(count)
        start = 0
        while start < len(rows):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, "right")))
            some = count[start:stop]
            row = np.repeat(rows[start:stop], some)
            place = np.repeat(low[start:stop] - (ends[start:stop] - some), some) + np.arange(before, before + len(row))
            close = distance(hashes[row], ordered[place]) <= radius
            found[row[close]] = True
            start = stop
    return found
