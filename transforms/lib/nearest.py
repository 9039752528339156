"""The nearest centroid of each row: float32 products of BLAS, and float64 wherever those cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.errors import InputError
from transforms.lib.kmeans import MAX_NORM, Rows, Vectors, on_grid, squared_norms

RULES = ("inner", "euclidean")
_ROWS = 1024  # rows compared at once
_TILE = 2_048  # centroids compared at once
_WIDEN = 256  # rows converted at once

BestTwo = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Of each row a nearest centroid, its score, that of the second best, and the row's squared norm; all in float32."""

_BestTwoOf = Callable[[Rows], BestTwo]


class Assigned(NamedTuple):
    """Where rows belong.

    Attributes:
      cluster: int32 ``[n]``; exact: the lowest of the nearest.
      similarity: float32 ``[n]``; under ``inner`` the inner product, under ``euclidean`` 1 - squared distance / 2, the
        cosine where row and centroid have norm 1. Its last bits depend on the processor.
      margin: float32 ``[n]``, at least 0: by how much the second best is less similar; infinite with one cluster.
    """

    cluster: NDArray[np.int32]
    similarity: NDArray[np.float32]
    margin: NDArray[np.float32]


class Nearest:
    """Assigns rows to centroids.

    Cost: ``2 n k dim`` floating point operations; beside the centroids (twice) 8 MiB.

    Args:
      centroids: ``[k, dim]``, taken to the grid of 2**-24.
      rule: ``inner``, the largest inner product, or ``euclidean``, the smallest distance.
      device: ``cpu``, which is numpy, or a device of torch, such as ``cuda``. Clusters are the same: torch multiplies
        in plain float32 too, and what that cannot tell is decided here.

    Raises:
      InputError: a centroid is not finite or longer than 2, or there is none; or the device is not there.
    """

    def __init__(self, centroids: NDArray[Any], rule: str, device: str = "cpu") -> None:
        with np.errstate(invalid="ignore"):
            self.centroids: Vectors = on_grid(centroids)
            norms = squared_norms(self.centroids)
        if not len(norms) or not (norms <= MAX_NORM**2).all():
            raise InputError(f"centroids must be finite, of norm at most {MAX_NORM:g}, and at least one")
        self._rule = rule
        self._half = norms / 2 if rule == "euclidean" else np.zeros(len(norms))
        # each side of a comparison is off by at most (dim + 2) roundings of 2**-24 of its terms
        self._slack = np.float32(2 * (self.centroids.shape[1] + 2) * 2.0**-24)
        self._reach = float(np.sqrt(norms.max())), float(self._half.max())
        self._best_two: _BestTwoOf = self._numpy
        if device != "cpu":
            from transforms.lib.torchnearest import TorchBestTwo

            self._best_two = TorchBestTwo(self.centroids, self._half.astype(np.float32), device)

    def __call__(self, rows: Rows) -> Assigned:
        """Assigns float16 ``[n, dim]``, finite, norms at most 2."""
        rows = np.ascontiguousarray(rows)
        cluster, best, second, squared = self._best_two(rows)
        wide, room = self._rooms(len(rows))
        slack = self._slack * (np.sqrt(squared) * np.float32(self._reach[0]) + np.float32(self._reach[1]))
        close = np.flatnonzero(best - second <= slack)
        for at in range(0, len(close), _ROWS):
            few = close[at : at + _ROWS]
            found = self._exact(_widen(rows[few], wide), (best - 2 * slack)[few], room)
            cluster[few], best[few], second[few] = found
        similarity = best if self._rule == "inner" else best + 1 - squared / 2
        return Assigned(cluster.astype(np.int32), similarity.astype(np.float32), np.maximum(best - second, 0))

    def _rooms(self, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns room for a block of rows, and for its products with a tile; new memory each time costs a tenth."""
        block = min(_ROWS, rows)
        dim, tile = self.centroids.shape[1], min(_TILE, len(self.centroids))
        return np.empty((block, dim), np.float32), np.empty((block, tile), np.float32)

    def _numpy(self, rows: Rows) -> BestTwo:
        cluster, (best, second, squared) = np.empty(len(rows), np.int64), np.empty((3, len(rows)), np.float32)
        wide, room = self._rooms(len(rows))
        for at in range(0, len(rows), _ROWS):
            here = slice(at, at + _ROWS)
            some = _widen(rows[here], wide)
            cluster[here], best[here], second[here] = self._best_two_of(some, room)
            squared[here] = np.einsum("nd,nd->n", some, some)
        return cluster, best, second, squared

    def _best_two_of(
        self, rows: NDArray[np.float32], room: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        every = np.arange(len(rows))
        cluster = np.zeros(len(rows), np.int64)
        best = np.full(len(rows), -np.inf, np.float32)
        second = best.copy()
        for at in range(0, len(self.centroids), _TILE):
            scores = self._scores(rows, at, room)
            here = scores.argmax(axis=1)
            top = scores[every, here]
            scores[every, here] = -np.inf
            better = top > best
            second = np.maximum(np.where(better, best, np.maximum(second, top)), scores.max(axis=1))
            cluster[better] = here[better] + at
            best = np.maximum(best, top)
        return cluster, best, second

    def _scores(self, rows: NDArray[np.float32], at: int, room: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns float32 ``[n, tile]``, the higher the nearer, of the tile of centroids that starts at ``at``.

        They lie in ``room`` until it is used again.
        """
        tile = self.centroids[at : at + _TILE]
        scores = room.reshape(-1)[: len(rows) * len(tile)].reshape(len(rows), len(tile))
        np.matmul(rows, tile.T, out=scores)
        if self._rule == "euclidean":
            scores -= self._half[at : at + _TILE].astype(np.float32)
        return scores

    def _exact(
        self, rows: NDArray[np.float32], least: NDArray[np.float32], room: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns (cluster, best, second) of rows of which several centroids score at least ``least``."""
        tiles = range(0, len(self.centroids), _TILE)
        found = [np.nonzero(self._scores(rows, at, room) >= least[:, None]) for at in tiles]
        row = np.concatenate([rows_ for rows_, _ in found])
        candidate = np.concatenate([columns + at for at, (_, columns) in zip(tiles, found, strict=True)])
        value = np.empty(len(row))
        for at in range(0, len(row), _ROWS):
            pair = slice(at, at + _ROWS)
            left, right = rows[row[pair]].astype(np.float64), self.centroids[candidate[pair]].astype(np.float64)
            value[pair] = np.einsum("nd,nd->n", left, right) - self._half[candidate[pair]]
        order = np.lexsort((candidate, -value, row))
        first = np.flatnonzero(np.diff(row[order], prepend=-1))
        return candidate[order[first]], value[order[first]], value[order[first + 1]]


def _widen(rows: Rows, room: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns finite float16 rows as float32, in ``room``; twice as fast as numpy's own conversion.

    The bits of a half, moved to where a float32 has them, are the number times 2**-112, subnormal ones included.
    """
    wide = room[: len(rows)]
    for at in range(0, len(rows), _WIDEN):
        part = wide[at : at + _WIDEN]
        bits = part.view(np.int32)
        np.copyto(bits, rows[at : at + _WIDEN].view(np.int16))
        np.left_shift(bits, 13, out=bits)
        np.bitwise_and(bits, np.int32(-0x70000001), out=bits)  # what the sign, extended, left between it and the rest
        np.multiply(part, np.float32(2.0**112), out=part)
    return wide
