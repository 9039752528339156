"""Where k-means starts: rows drawn one after another, or in batches, with odds of their squared distance.

It is ours because draws are keyed by uids, so that the same rows are drawn whatever the order or the machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Float64, UInt64
from transforms.lib.clusters.kmeans import HalfRows
from transforms.lib.errors import CapacityError
from transforms.lib.stats import exponential

ONE_BY_ONE = 1_000  # up to so many clusters are drawn singly
_BATCHES = 256
_CHUNK = 4096  # rows as float64 at once
_HELD_BYTES = 1 << 28  # rows up to this are held as float64
_PER_CLUSTER = 8
_AT_LEAST = 20_000


def rows_wanted(k: int) -> int:
    """Returns how many rows of a pool are enough to draw ``k`` starts from: 8 per cluster, at least 20,000."""
    return max(_AT_LEAST, _PER_CLUSTER * k)


def draw(rows: HalfRows, hashes: UInt64, k: int) -> NDArray[np.intp]:
    """Draws the rows that k-means starts from.

    Up to 1,000 clusters it is k-means++: each next row is drawn with odds of its squared distance to the nearest row
    drawn before. Above, it is k-means|| in 256 batches, each drawn without replacement by the distances before it; the
    batches are k rows together, so that nothing has to be clustered again. Draws are keyed by the hashes, and distances
    of float16 rows are exact in float64: the same rows are drawn on any machine. Where all distances are zero, the
    rows of the smallest hashes are drawn.

    Source: Arthur and Vassilvitskii 2007, "k-means++"; Bahmani et al. 2012, "Scalable k-means++", arXiv:1203.6402.

    Args:
      rows: float16 ``[n, dim]``, norms at most 2, in the order of their hashes.
      hashes: uint64 ``[n]``, the ``keyed_hash`` of the rows' uids.
      k: rows to draw.

    Returns:
      intp ``[k]``, numbers of rows, in the order they are drawn.

    Raises:
      CapacityError: there are fewer rows than ``k``.
    """
    if len(rows) < k:
        raise CapacityError(f"{k} clusters cannot be made of {len(rows)} samples; lower --k, or raise --sample")
    batch = 1 if k <= ONE_BY_ONE else -(-k // _BATCHES)
    wide = rows.astype(np.float64) if rows.size * 8 <= _HELD_BYTES else None
    squared = _squared(rows, wide)
    nearest = np.full(len(rows), np.inf)
    chosen = np.zeros(1, np.intp)
    drawn = [chosen]
    while (lacking := k - sum(map(len, drawn))) > 0:
        _come_nearer(nearest, rows, wide, squared, chosen)
        chosen = _race(nearest, uids.stream(hashes, len(drawn)), np.concatenate(drawn), min(batch, lacking))
        drawn.append(chosen)
    return np.concatenate(drawn)


def _squared(rows: HalfRows, wide: Float64 | None) -> Float64:
    parts = [_part(rows, wide, at) for at in range(0, len(rows), _CHUNK)]
    return np.concatenate([np.einsum("nd,nd->n", part, part) for part in parts])


def _part(rows: HalfRows, wide: Float64 | None, at: int) -> Float64:
    return rows[at : at + _CHUNK].astype(np.float64) if wide is None else wide[at : at + _CHUNK]


def _come_nearer(
    nearest: Float64,
    rows: HalfRows,
    wide: Float64 | None,
    squared: Float64,
    chosen: NDArray[np.intp],
) -> None:
    """Lowers the squared distances ``nearest`` to what they are with the rows ``chosen``."""
    centres = rows[chosen].astype(np.float64).T
    for at in range(0, len(rows), _CHUNK):
        here = slice(at, at + _CHUNK)
        gain = (squared[chosen] - 2 * (_part(rows, wide, at) @ centres)).min(axis=1)
        np.minimum(nearest[here], gain + squared[here], out=nearest[here])
    nearest[chosen] = 0


def _race(nearest: Float64, bits: UInt64, taken: NDArray[np.intp], number: int) -> NDArray[np.intp]:
    """Draws ``number`` rows without replacement, with odds ``nearest``: the first arrivals of exponential clocks."""
    with np.errstate(divide="ignore"):
        times = np.where(nearest > 0, exponential.exponential(bits) / nearest, np.inf)
    first = np.argsort(times, kind="stable")[:number] if number > 1 else np.array([times.argmin()])
    first = first[np.isfinite(times[first])]
    if len(first) < number:
        free = np.setdiff1d(np.arange(len(nearest)), np.concatenate([taken, first]))
        first = np.concatenate([first, free[: number - len(first)]])
    return first
