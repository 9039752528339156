"""The nearest centroid of each row: float32 products of BLAS, and float64 wherever those cannot tell.

faiss finds the nearest centroids as well, but in float32 alone: which of two close ones it returns depends on the
processor and on the rows beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32, Float64, Int64
from transforms.lib.clusters.candidates import Ranked
from transforms.lib.clusters.kmeans import MAX_NORM, HalfRows, Vectors, rounded_to_grid, squared_norms
from transforms.lib.clusters.nearest_torch import TorchRanks
from transforms.lib.errors import InputError

RULES = ("inner", "euclidean")
_UNIT = 1 + 2.0**-10  # norm up to which a centroid counts as a unit vector that was rounded, in float16 too
_ROWS = 1024  # rows compared at once
_TILE = 2_048  # centroids compared at once
_WIDEN = 256  # rows converted at once
_PRODUCTS = 64  # rows multiplied exactly at once; what they take stays in a core's cache


class Assignment(NamedTuple):
    """Where rows belong: a function of each row and of the centroids, whatever rows it is assigned with, and where.

    Attributes:
      cluster: int32 ``[n]``; exact: the lowest of the nearest.
      similarity: float32 ``[n]``; under ``inner`` the inner product, under ``euclidean`` 1 - squared distance / 2, the
        cosine where row and centroid have norm 1. The exact value, rounded; in [-1, 1] where the centroid is no longer
        than 1, up to rounding, since embeddings in float16 are of norm 1 up to 2**-11.
      margin: float32 ``[n]``, at least 0: by how much the second best is less similar, the exact value, rounded;
        infinite with one cluster.
    """

    cluster: NDArray[np.int32]
    similarity: Float32
    margin: Float32


class Nearest:
    """Assigns rows to centroids.

    Cost: ``2 n k dim`` floating point operations; beside the centroids (twice) 10 MiB.

    Args:
      centroids: ``[k, dim]``, taken to the grid of 2**-24.
      rule: ``inner``, the largest inner product, or ``euclidean``, the smallest distance.
      device: ``cpu``, which is numpy, or a device of torch, such as ``cuda``. What is assigned is the same: torch
        multiplies in plain float32 too, and what that cannot tell, similarities and margins are decided here.

    Raises:
      InputError: a centroid is not finite or longer than 2, or there is none; or the device is not there.
    """

    def __init__(self, centroids: NDArray[Any], rule: str, device: str = "cpu") -> None:
        with np.errstate(invalid="ignore"):
            self.centroids: Vectors = rounded_to_grid(centroids)
            norms = squared_norms(self.centroids)
        if not len(norms) or not (norms <= MAX_NORM**2).all():
            raise InputError(f"centroids must be finite, of norm at most {MAX_NORM:g}, and at least one")
        self._most = np.where(norms <= _UNIT**2, 1, np.inf)
        self._wide = self.centroids.astype(np.float64) if len(norms) <= _TILE else None
        self._rule = rule
        self._half = norms / 2 if rule == "euclidean" else np.zeros(len(norms))
        # each side of a comparison is off by at most (dim + 2) roundings of 2**-24 of its terms
        self._slack = np.float32(2 * (self.centroids.shape[1] + 2) * 2.0**-24)
        self._reach = np.float32(np.sqrt(norms.max())), np.float32(self._half.max())
        self._torch = None if device == "cpu" else TorchRanks(self.centroids, self._half.astype(np.float32), device)

    def clusters(self, rows: HalfRows) -> NDArray[np.int32]:
        """Returns the field ``cluster`` of what a call returns, and spares what the other fields cost."""
        cluster = np.empty(len(rows), np.int32)
        for here, _, which in self._named(rows, 1):
            cluster[here] = which[0]
        return cluster

    def __call__(self, rows: HalfRows) -> Assignment:
        """Assigns float16 ``[n, dim]``, finite, norms at most 2."""
        cluster, (similarity, margin) = np.empty(len(rows), np.int32), np.empty((2, len(rows)), np.float32)
        for here, wide, which in self._named(rows, min(2, len(self.centroids))):
            best, *others = self._products(wide, which)
            cluster[here] = which[0]
            exact = best if self._rule == "inner" else best + 1 - squared_norms(wide) / 2
            most = self._most[which[0]]
            similarity[here] = np.clip(exact, -most, most)
            margin[here] = best - others[0] if others else np.inf
        return Assignment(cluster, similarity, margin)

    def _named(self, rows: HalfRows, number: int) -> Iterator[tuple[slice | Int64, Float32, Int64]]:
        """Names the best centroids of rows, exactly; those that float32 cannot tell come twice, the second time right.

        Yields:
          block by block, which rows, these as float32 until the next block, and int64 ``[number, b]``.
        """
        rows = np.ascontiguousarray(rows)
        wide, room = self._rooms(len(rows))
        ranked = self._torch(rows, number) if self._torch else None
        close, least = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
        for at in range(0, len(rows), _ROWS):
            here = slice(at, at + _ROWS)
            some = _widen(rows[here], wide)
            best = self._rank(some, number, room) if ranked is None else ranked.part(here)
            yield here, some, best.which
            norms = np.sqrt(np.einsum("nd,nd->n", some, some))
            slack = self._slack * (norms * self._reach[0] + self._reach[1])
            unsure = np.flatnonzero((best.scores[:-1] <= best.scores[1:] + slack).any(axis=0))
            close.append(unsure + at)
            least.append((best.scores[number - 1] - 2 * slack)[unsure])
        again, bounds = np.concatenate(close), np.concatenate(least)  # few products at a time would be slow
        for at in range(0, len(again), _ROWS):
            few = again[at : at + _ROWS]
            some = _widen(rows[few], wide)
            yield few, some, self._exact(some, bounds[at : at + _ROWS], number, room)

    def _rooms(self, rows: int) -> tuple[Float32, Float32]:
        """Returns room for a block of rows, and for its products with a tile; new memory each time costs a tenth."""
        block = min(_ROWS, rows)
        dim, tile = self.centroids.shape[1], min(_TILE, len(self.centroids))
        return np.empty((block, dim), np.float32), np.empty((block, tile), np.float32)

    def _rank(self, rows: Float32, number: int, room: Float32) -> Ranked:
        every = np.arange(len(rows))
        ranked = None
        for at in range(0, len(self.centroids), _TILE):
            tile = self._scores(rows, at, room)
            which, scores = np.empty((number + 1, len(rows)), np.int64), np.empty((number + 1, len(rows)), np.float32)
            for place in range(number + 1):
                tile.argmax(axis=1, out=which[place])  # as fast as max
                scores[place] = tile[every, which[place]]
                if place < number:
                    tile[every, which[place]] = -np.inf
            which += at
            if ranked is not None:
                both = np.concatenate([ranked.scores, scores])
                order = np.argsort(-both, axis=0, kind="stable")[: number + 1]
                scores = np.take_along_axis(both, order, axis=0)
                which = np.take_along_axis(np.concatenate([ranked.which, which]), order, axis=0)
            ranked = Ranked(which, scores)
        assert ranked is not None
        return Ranked(ranked.which[:number], ranked.scores)

    def _scores(self, rows: Float32, at: int, room: Float32) -> Float32:
        """Returns float32 ``[n, tile]``, the higher the nearer, of the tile of centroids that starts at ``at``.

        They lie in ``room`` until it is used again.
        """
        tile = self.centroids[at : at + _TILE]
        scores = room.reshape(-1)[: len(rows) * len(tile)].reshape(len(rows), len(tile))
        np.matmul(rows, tile.T, out=scores)
        if self._rule == "euclidean":
            scores -= self._half[at : at + _TILE].astype(np.float32)
        return scores

    def _exact(self, rows: Float32, least: Float32, number: int, room: Float32) -> Int64:
        """Returns the best ``number`` centroids of rows, the lower of equal ones first, among those of ``least``."""
        tiles = range(0, len(self.centroids), _TILE)
        close = [np.nonzero(self._scores(rows, at, room) >= least[:, None]) for at in tiles]
        row = np.concatenate([rows_ for rows_, _ in close])
        candidate = np.concatenate([columns + at for at, (_, columns) in zip(tiles, close, strict=True)])
        value = np.empty(len(row))
        for at in range(0, len(row), _ROWS):
            pair = slice(at, at + _ROWS)
            value[pair] = self._products(rows[row[pair]], candidate[None, pair])[0]
        order = np.lexsort((candidate, -value, row))
        first = np.flatnonzero(np.diff(row[order], prepend=-1))
        return np.stack([candidate[order[first + place]] for place in range(number)])

    def _products(self, rows: Float32, which: Int64) -> Float64:
        """Returns the scores of rows, float32 ``[n, dim]``, with centroids ``which``, int64 ``[m, n]``; ``[m, n]``.

        All numbers are on the grid and of norm at most 2: float64 holds every sum of their products, in any order.
        """
        scores = np.empty(which.shape)
        wide, chosen = np.empty((2, min(_PRODUCTS, len(rows)), rows.shape[1]))
        for at in range(0, len(rows), _PRODUCTS):
            part = slice(at, at + _PRODUCTS)
            size = len(rows[part])
            np.copyto(wide[:size], rows[part])
            for place, centroid in enumerate(which):
                if self._wide is None:
                    np.copyto(chosen[:size], self.centroids.take(centroid[part], axis=0))
                else:
                    self._wide.take(centroid[part], axis=0, out=chosen[:size], mode="clip")
                np.einsum("nd,nd->n", wide[:size], chosen[:size], out=scores[place, part])
        scores -= self._half[which]
        return scores


def _widen(rows: HalfRows, room: Float32) -> Float32:
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
