"""Semantic deduplication: near-equal embeddings inside one cluster, by exact cosines in tiles.

Embeddings are rounded to a grid on which every product and every sum of products is exact in float64. So a cosine is
one number, whatever the machine, the number of threads and the shape of a tile; float32 only finds the pairs worth it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Float64, Int64
from transforms.lib.clusters.kmeans import squared_norms
from transforms.lib.dedup import components, groups

Pairs = tuple[Int64, Int64, Float64]  # rows, columns, cosines

CHAINS = ("released", "paper", "leaders")
TILE = 1024
_GRID = float(1 << 20)
_DENSE = 16  # a tile with more than one pair in so many cells is multiplied whole again
_GATHER = 1 << 14  # pairs whose vectors are gathered at once


def record_dtype(dim: int) -> np.dtype[Any]:
    """Returns the dtype of what meets at a cluster: cluster, ``groups.PLACE`` and the embedding; 32 + 2 dim bytes."""
    return np.dtype([("cluster", "<i4"), *groups.PLACE, ("vector", "<f2", (dim,))])


def unit_rows(embeddings: NDArray[np.float16]) -> Bool:
    """Tells which rows are unit vectors up to rounding, bool ``[n]``; NaN and zero, a rejected sample, are not.

    Norms from 1/2 to 2, exclusive, count as rounding, because rows are normalised before they are compared.
    ``kmeans.clusterable`` is stricter and raises an error, because k-means uses rows as they are.
    """
    squares = squared_norms(embeddings)
    unit: Bool = (squares > 0.25) & (squares < 4)
    return unit


def normalised_on_grid(embeddings: NDArray[np.float16]) -> Float32:
    """Returns unit rows rounded to multiples of ``2**-20``, float32 ``[n, dim]``.

    Squares of float16 and their sums up to 4 are exact in float64, square root and division are rounded correctly: the
    result is the same everywhere. A product of two grid numbers is a multiple of ``2**-40`` and no partial sum of two
    unit rows exceeds 1.01, so float64 holds all of them exactly, in any order. The grid moves a cosine by some
    ``2**-20``; float16 had moved it by some ``2**-14``.

    Args:
      embeddings: float16 ``[n, dim]``, all ``unit_rows``.
    """
    norms = np.sqrt(squared_norms(embeddings))
    rounded: Float32 = (np.rint(embeddings.astype(np.float64) / norms[:, None] * _GRID) / _GRID).astype(np.float32)
    return rounded


def close_pairs(left: Float32, right: Float32, above: float, *, triangle: bool = False) -> Pairs:
    """Finds the pairs of rows with a cosine strictly above a bound.

    Args:
      left: float32 ``[a, dim]``, on the grid.
      right: float32 ``[b, dim]``, on the grid.
      above: the bound, exclusive.
      triangle: only pairs whose row of ``left`` has the smaller number; both are the same rows.

    Returns:
      int64, int64 and float64 ``[p]``: rows of ``left``, of ``right``, and their exact cosines, sorted by the row of
      ``right``, then of ``left``.
    """
    error = (left.shape[1] + 4) * 2.0**-23  # twice what float32 can be off
    hot = right @ left.T > np.float32(above - error)
    if triangle:
        hot = np.tril(hot, -1)
    j, i = np.nonzero(hot)
    if len(i) * _DENSE > hot.size:
        cosines = (right.astype(np.float64) @ left.T.astype(np.float64))[j, i]
    else:
        cosines = cosine_of(left, right, i, j)
    inside = cosines > above
    return i[inside], j[inside], cosines[inside]


def cosine_of(left: Float32, right: Float32, i: Int64, j: Int64) -> Float64:
    """Returns the exact cosines of pairs, float64 ``[p]``: rows ``i`` of ``left`` with rows ``j`` of ``right``."""
    cosines = np.zeros(len(i))
    for start in range(0, len(i), _GATHER):
        part = slice(start, start + _GATHER)
        cosines[part] = np.einsum("nd,nd->n", left[i[part]].astype(np.float64), right[j[part]].astype(np.float64))
    return cosines


class _Best:
    """The best earlier match of each row so far; of equally good ones the first."""

    def __init__(self, rows: int) -> None:
        self.match = np.full(rows, -1, np.int64)
        self.cosine = np.zeros(rows)

    def take(self, i: Int64, j: Int64, cosine: Float64) -> None:
        """Takes pairs in which ``i`` comes earlier than ``j``, as ``close_pairs`` sorts them, with growing ``i``."""
        if not len(j):
            return
        starts = np.flatnonzero(np.append(True, j[1:] != j[:-1]))
        most = np.maximum.reduceat(cosine, starts)
        ties = np.flatnonzero(cosine == np.repeat(most, np.diff(np.append(starts, len(j)))))
        first = ties[np.searchsorted(ties, starts)]
        j, i = j[starts], i[first]
        better = (self.match[j] < 0) | (most > self.cosine[j])
        self.match[j[better]], self.cosine[j[better]] = i[better], most[better]


def _tiles(vectors: Float32, order: Int64, above: float, start: int) -> Iterator[tuple[bool, Pairs]]:
    """Yields the close pairs of each tile, those of a column of tiles from the top down to the diagonal.

    Yields:
      whether the tile is on the diagonal, and its pairs as places in ``order``.
    """
    for a in range(start, len(order), TILE):
        columns = vectors[order[a : a + TILE]]
        for b in range(0, a, TILE):
            stop = min(b + TILE, a)
            i, j, cosine = close_pairs(vectors[order[b:stop]], columns, above)
            yield False, (i + b, j + a, cosine)
        i, j, cosine = close_pairs(columns, columns, above, triangle=True)
        yield True, (i + a, j + a, cosine)


def matches(
    vectors: Float32, order: Int64, *, above: float, chains: str = "released", start: int = 0
) -> tuple[Int64, Float64, Int64]:
    """Finds out which rows of one cluster are copies of an earlier one.

    With rows numbered in ``order`` and a pair close when its cosine is above the bound, row ``j`` is a copy when

    - ``released``: a row before it is close. That is the released code of SemDeDup, which takes the maximum of a column
      of the upper triangle; its published numbers come from it. A row goes even if the only row it is close to went.
    - ``paper``: it is not the first of its group, a group being all that close pairs connect: "from each group of
      semantic duplicates" one is kept, taken by the word. Drops at least what ``released`` drops.
    - ``leaders``: a row before it that stays is close. Every row that goes has a close one that stays. Drops at most
      what ``released`` drops.

    For a chain ``a - b - c`` in which a and c are not close: ``released`` drops b and c, ``paper`` b and c, ``leaders``
    b; in the order ``a, c, b`` ``released`` and ``leaders`` drop b only, ``paper`` b and c.

    Cost: ``n**2 dim`` floating point operations in float32, those on close pairs again in float64. Memory: two tiles
    of 1,024 vectors, their cosines, and 32 bytes per row, however large the cluster; ``vectors`` may be on disk.

    Source: Abbas et al. 2023, "SemDeDup", arXiv:2303.09540, section 3 and algorithm A7; its released code.

    Args:
      vectors: float32 ``[n, dim]``, on the grid.
      order: int64 ``[n]``; rows of ``vectors``, who survives first.
      above: ``1 - epsilon``; the larger epsilon, the more goes.
      chains: one of ``CHAINS``.
      start: rows before this place are compared with later ones only, and stay.

    Returns:
      of each place in ``order``: the place of the row it is a copy of, int64, -1 when it stays; the cosine with it,
      float64; and the place of the row of its group that stays, int64, its own when it has none.
    """
    best = _Best(len(order))
    trees = components.EMPTY
    for diagonal, (i, j, cosine) in _tiles(vectors, order, above, start):
        if chains == "paper":
            edges = np.stack([i, j], axis=1).astype(np.uint64)
            trees = components.merge([trees, edges]) if len(edges) else trees
            continue
        if chains == "leaders":
            i, j, cosine = _led(i, j, cosine, best.match < 0) if diagonal else _of(best.match[i] < 0, i, j, cosine)
        best.take(i, j, cosine)
    places = np.arange(len(order))
    if chains == "paper":
        root = components.roots(places.astype(np.uint64), trees).astype(np.int64)
        root[:start] = places[:start]
        best.match = np.where(root == places, -1, root)
        gone = np.flatnonzero(root != places)
        best.cosine[gone] = cosine_of(vectors, vectors, order[root[gone]], order[gone])
    return best.match, best.cosine, _root(best.match)


def _of(chosen: Bool, i: Int64, j: Int64, cosine: Float64) -> Pairs:
    return i[chosen], j[chosen], cosine[chosen]


def _led(i: Int64, j: Int64, cosine: Float64, stays: Bool) -> Pairs:
    """Returns the pairs of a diagonal tile whose earlier row stays, going down its rows in order."""
    stays = stays.copy()
    order = np.argsort(i, kind="stable")
    rows, starts = np.unique(i[order], return_index=True)
    for row, copies in zip(rows, np.split(j[order], starts[1:]), strict=False):
        if stays[row]:
            stays[copies] = False
    return _of(stays[i], i, j, cosine)


def _root(match: Int64) -> Int64:
    """Follows matches, which always lead to an earlier place, to their end."""
    root = np.where(match < 0, np.arange(len(match)), match)
    while True:
        further = root[root]
        if (further == root).all():
            return root
        root = further


def clusters(
    records: NDArray[Any], vectors: Float32, *, epsilon: float, chains: str, seed: int, fresh: int
) -> tuple[NDArray[np.uint32], groups.Verdicts]:
    """Decides about samples of whole clusters.

    Args:
      records: ``[n]`` with the fields ``cluster`` and ``groups.PLACE``, any order; all samples of a cluster, or none.
      vectors: float32 ``[n, dim]``, on the grid, row-aligned.
      epsilon: two samples are copies when their cosine is above ``1 - epsilon``.
      chains: one of ``CHAINS``.
      seed: of ``groups.ranking``.
      fresh: of ``groups.ranking``; samples of an earlier pool survive and get no verdict.

    Returns:
      shard numbers, uint32 ``[m]``, and ``groups.VERDICT`` ``[m]`` of the samples that are copies or have some.
    """
    order = groups.ranking(records, seed, fresh, records["cluster"])
    cluster = records["cluster"][order]
    cuts = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1])[: len(order)])
    shards, parts = [np.zeros(0, np.uint32)], [np.zeros(0, groups.VERDICT)]
    for a, b in zip(cuts, np.append(cuts[1:], len(order)), strict=False):
        inside = order[a:b]
        place = records[inside]
        start = int((place["shard"] >= fresh).sum())
        match, cosine, root = matches(vectors, inside, above=1 - epsilon, chains=chains, start=start)
        chosen = (np.bincount(root, minlength=len(root))[root] > 1) & (place["shard"] < fresh)
        uid = place["uid"]
        verdicts = groups.verdicts(place["row"], match >= 0, cosine, uid[match], uid[root])
        shards.append(place["shard"][chosen])
        parts.append(verdicts[chosen])
    return np.concatenate(shards), np.concatenate(parts)


def nearest(vectors: Float32, targets: Float32, above: float) -> tuple[Int64, Float64]:
    """Finds the target closest to each row, of those with a cosine above a bound.

    Args:
      vectors: float32 ``[n, dim]``, on the grid.
      targets: float32 ``[m, dim]``, on the grid; of equally close ones the first counts.
      above: the bound, exclusive.

    Returns:
      int64 ``[n]``: row of ``targets``, -1 when none is that close; float64 ``[n]``: the cosine with it, 0 when none;
      in [-1, 1], which the rounding of rows may exceed.
    """
    best = _Best(len(vectors))
    for a in range(0, len(vectors), TILE):
        for b in range(0, len(targets), TILE):
            i, j, cosine = close_pairs(targets[b : b + TILE], vectors[a : a + TILE], above)
            best.take(i + b, j + a, cosine)
    return best.match, np.clip(best.cosine, -1, 1)
