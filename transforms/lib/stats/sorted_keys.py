"""The sorted values of a column, kept by a crawl so that later crawls count them by reading a few bytes.

Keys are sorted, and beside them stands how many there are of each value of their upper 16 bits. So the first round of
an exact quantile reads some hundred numbers, and the second the keys of one bin.

Cost: 4 bytes per sample, and 8 more for the hash that breaks ties; 6 bytes per distinct value of the upper 16 bits, of
which a column of cosines has some hundred.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import UInt64
from transforms.lib.stats import quantiles
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary

Keys = NDArray[np.uint32]


def arrays_of(
    keys: Keys, hashes: UInt64 | None = None, wide: UInt64 | None = None
) -> dict[str, NDArray[np.unsignedinteger]]:
    """Returns the arrays that are kept of samples in any order.

    Args:
      keys: uint32 ``[n]``, ``quantiles.ordered_bits`` of their values.
      hashes: uint64 ``[n]``, what breaks ties; None where nothing does.
      wide: uint64 ``[n]``, ``quantiles.wide_bits`` of the values; None where float32 holds them. Needs ``hashes``.

    Returns:
      ``keys`` sorted; ``wide`` and ``hashes``, where given, in the same order, equal keys by these; ``bins`` uint16
      ``[m]`` and ``counts`` uint32 ``[m]``: the upper 16 bits that occur, and how often.
    """
    arrays: dict[str, NDArray[np.unsignedinteger]] = {}
    if hashes is None:
        keys = np.sort(keys)
    else:
        order = np.lexsort((hashes, keys) if wide is None else (hashes, wide, keys))
        keys = keys[order]
        if wide is not None:
            arrays["wide"] = wide[order]
        arrays["hashes"] = hashes[order]
    bins, counts = np.unique((keys >> np.uint32(16)).astype(np.uint16), return_counts=True)
    return {**arrays, "keys": keys, "bins": bins, "counts": counts.astype(np.uint32)}


def join(parts: Sequence[Arrays]) -> dict[str, NDArray[np.unsignedinteger]]:
    """Returns the arrays of all samples together; whatever the order of the parts, the same."""
    hashes = np.concatenate([part["hashes"] for part in parts]) if "hashes" in parts[0] else None
    wide = np.concatenate([_wide(part) for part in parts]) if any("wide" in part for part in parts) else None
    return arrays_of(np.concatenate([part["keys"] for part in parts]), hashes, wide)


def _wide(part: Arrays) -> UInt64:
    return part["wide"] if "wide" in part else quantiles.wide_bits(quantiles.scores_of(part["keys"]))


def count_high(summary: CrawlSummary) -> quantiles.Histogram:
    """Returns what ``quantiles.count_high`` counts of the keys; int64 ``[BINS]``. Reads no key."""
    counts = np.zeros(quantiles.BINS, np.int64)
    counts[summary.whole("bins")] = summary.whole("counts")
    return counts


def _place(summary: CrawlSummary, high: int) -> tuple[int, int]:
    """Returns where the keys begin and end whose upper 16 bits are ``high``."""
    bins, counts = summary.whole("bins"), summary.whole("counts").astype(np.int64)
    at = int(np.searchsorted(bins, high))
    start = int(counts[:at].sum())
    inside = at < len(bins) and int(bins[at]) == high
    return start, start + (int(counts[at]) if inside else 0)


def keys_in(summary: CrawlSummary, high: int) -> Keys:
    """Returns the sorted keys whose upper 16 bits are ``high``; reads them alone."""
    keys: Keys = summary.span("keys", *_place(summary, high))
    return keys


def wide_in(summary: CrawlSummary, high: int) -> UInt64:
    """Returns the ``quantiles.wide_bits`` beside ``keys_in``, of a summary that has them; reads them alone."""
    wide: UInt64 = summary.span("wide", *_place(summary, high))
    return wide


def _place_of(summary: CrawlSummary, key: int) -> tuple[int, int]:
    """Returns where the samples begin and end that have this very key; reads the keys of its bin."""
    start, stop = _place(summary, key >> 16)
    keys = summary.span("keys", start, stop)
    first, last = (int(np.searchsorted(keys, np.uint32(key), side)) for side in ("left", "right"))
    return start + first, start + last


def wide_at(summary: CrawlSummary, key: int) -> UInt64:
    """Returns the sorted ``quantiles.wide_bits`` of the samples with this key; reads them, and the keys of its bin."""
    start, stop = _place_of(summary, key)
    if summary.has("wide"):
        wide: UInt64 = summary.span("wide", start, stop)
        return wide
    return np.repeat(quantiles.wide_bits(np.array([quantiles.score_of(key)])), stop - start)


def hashes_at(summary: CrawlSummary, key: int, wide: int = 0) -> UInt64:
    """Returns the sorted hashes of the samples with this very value; reads them, and the keys of its bin.

    Args:
      summary: of the samples.
      key: ``quantiles.ordered_bits`` of the value.
      wide: its ``quantiles.wide_bits``; 0 where all samples with the key are meant.
    """
    start, stop = _place_of(summary, key)
    hashes: UInt64 = summary.span("hashes", start, stop)
    return hashes[wide_at(summary, key) == np.uint64(wide)] if wide else hashes


def distance(left: Sequence[CrawlSummary], right: Sequence[CrawlSummary]) -> float:
    """Returns the Kolmogorov-Smirnov distance of two columns: the largest difference of their distribution functions.

    Exact, from keys kept in any number of pieces. At the ends of bins the counts say how large the difference is, and
    between them how large it can be at most; only the bins in which it can be larger than found so far are read.

    Source: Smirnov 1939, "On the estimation of the discrepancy between empirical curves of distribution for two
    independent samples"; Massey 1951, JASA 46 (253), pp. 68-78.

    Args:
      left: the pieces of the one, with a sample at least.
      right: the pieces of the other, with a sample at least.

    Returns:
      in [0, 1]; 0 for equal distributions.
    """
    ends = [np.sum([count_high(summary) for summary in side], axis=0).cumsum() for side in (left, right)]
    sizes = [int(end[-1]) for end in ends]
    starts = [np.append(0, end[:-1]) for end in ends]
    at = [end / size for end, size in zip(ends, sizes, strict=True)]
    before = [start / size for start, size in zip(starts, sizes, strict=True)]
    largest = float(np.abs(at[0] - at[1]).max())
    possible = np.maximum(at[0] - before[1], at[1] - before[0])
    for high in np.flatnonzero(possible > largest)[np.argsort(-possible[possible > largest], kind="stable")].tolist():
        if possible[high] > largest:
            keys = [np.sort(np.concatenate([keys_in(summary, high) for summary in side])) for side in (left, right)]
            places = np.unique(np.concatenate(keys))
            below = [
                (start[high] + np.searchsorted(one, places, "right")) / size
                for one, start, size in zip(keys, starts, sizes, strict=True)
            ]
            largest = max(largest, float(np.abs(below[0] - below[1]).max()))
    return largest
