"""Soft capped sampling as it is defined: batch after batch, no sample twice in a batch, over a pool gathered once.

The ``g`` samples of a batch, drawn without replacement with odds ``exp(score - alpha * copies)``, are those with the
``g`` largest ``score - alpha * copies + Gumbel`` (Kool, van Hoof and Welling 2019, arXiv:1903.06059). Only the
smallest of them need be known for each batch: with these bounds every sample replays its own history.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Float64, Int64, UInt64
from transforms.lib.errors import CapacityError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.sampling.draw_rules import Candidates, Rules
from transforms.lib.stats import exponential, ties

MAX_ROWS = 1 << 22
MAX_BATCHES = 1 << 16
MAX_DRAWS = 1 << 33  # rows times batches: about ten minutes
_ROW = np.dtype([*ties.FIELDS, ("score", "<f8")])
_CHUNK = 1 << 13


@record("draw_sequential/1", formerly="batches.Batches")
@dataclasses.dataclass(frozen=True)
class SequentialDraw:
    """What is known of a draw in batches.

    Attributes:
      rules: what is drawn.
      rows: samples that take part.
      bounds: for each batch (smallest key drawn, and its place among equals: hash, shard, row); empty until solved.
    """

    rules: Rules
    rows: int
    bounds: tuple[tuple[Any, ...], ...] = ()

    @property
    def done(self) -> bool:
        """Whether the draw is known."""
        return len(self.bounds) == self.num_batches

    @property
    def num_batches(self) -> int:
        """Batches to draw; the last may be smaller, and none has more samples than there are."""
        return -(-self.rules.total // min(self.rules.batch, self.rows))

    @property
    def fits(self) -> bool:
        """Whether the pool and the number of batches are small enough."""
        few = self.num_batches <= MAX_BATCHES and self.rows * self.num_batches <= MAX_DRAWS
        return self.rows <= MAX_ROWS and few

    def check(self, race_batch: int) -> None:
        """Checks that it ``fits``.

        Args:
          race_batch: the largest batch that the race would stand for, for the message.

        Raises:
          CapacityError: it does not.
        """
        hint = "use engine: race, which has no such limit"
        if self.rows > MAX_ROWS:
            raise CapacityError(
                f"{self.rules.label}: {self.rows} samples are too many for the sequential engine, which gathers up to "
                f"{MAX_ROWS}; {hint}, or lower batch to at most {race_batch}, for which the race stands"
            )
        if not self.fits:
            raise CapacityError(
                f"{self.rules.label}: {self.num_batches} batches of {self.rows} samples are too many for the "
                f"sequential engine; raise batch, or {hint}"
            )

    def summarise(self, candidates: Candidates) -> NDArray[Any]:
        """Returns the scores and places of a shard's candidates, 32 bytes each."""
        records = np.empty(len(candidates.rows), _ROW)
        records[[name for name, _ in ties.FIELDS]] = candidates.places(np.arange(len(records)))
        records["score"] = candidates.scores
        return records

    def solve(self, summary: NDArray[Any]) -> SequentialDraw:
        """Returns the state with the bounds of all batches, from the whole pool's scores and places."""
        places = np.argsort(summary[[name for name, _ in ties.FIELDS]], order=[name for name, _ in ties.FIELDS])
        pool = summary[places]
        scores, copies = np.ascontiguousarray(pool["score"]), np.zeros(len(pool), np.int64)
        size = min(self.rules.batch, self.rows)
        bounds = []
        for number, gumbels in enumerate(_gumbels(np.ascontiguousarray(pool["hash"]), self.num_batches)):
            keys = _keys(scores, copies, gumbels, self.rules.alpha)
            drawn = min(size, self.rules.total - number * size)
            bound = np.partition(keys, len(keys) - drawn)[len(keys) - drawn]
            above = keys > bound
            tied = np.flatnonzero(keys == bound)[: drawn - int(above.sum())]
            copies += above
            copies[tied] += 1
            last = pool[tied[-1]]
            bounds.append((float(bound), *(int(last[name]) for name, _ in ties.FIELDS)))
        return dataclasses.replace(self, bounds=tuple(bounds))

    def copies(self, candidates: Candidates) -> tuple[Int64, Float64]:
        """Returns int64 ``[n]`` copies, and float64 ``[n]`` by how much the key was above the bound at best."""
        copies = np.zeros(len(candidates.rows), np.int64)
        margin = np.full(len(candidates.rows), -np.inf)
        places = candidates.places(np.arange(len(copies)))
        gumbels = _gumbels(candidates.hashes, len(self.bounds))
        for (bound, *last), gumbel in zip(self.bounds, gumbels, strict=True):
            keys = _keys(candidates.scores, copies, gumbel, self.rules.alpha)
            copies += keys > bound
            margin = np.maximum(margin, keys - bound)
            tied = np.flatnonzero(keys == bound)
            copies[tied] += ties.at_or_before(places[tied], last)
        return copies, margin


def _keys(scores: Float64, copies: Int64, gumbels: Float64, alpha: float) -> Float64:
    return scores - alpha * copies + gumbels


def _gumbels(hashes: UInt64, batches: int) -> Iterator[Float64]:
    """Yields for each batch the Gumbel draws ``[n]`` of all rows, made for as many batches at once as is quick."""
    together = min(max(_CHUNK // max(len(hashes), 1), 1), 64)
    for first in range(0, batches, together):
        numbers = np.arange(first, min(first + together, batches), dtype=np.uint64)[:, None]
        draws = np.empty((len(numbers), len(hashes)))
        for start in range(0, len(hashes), _CHUNK):
            part = slice(start, start + _CHUNK)
            draws[:, part] = -exponential.log(exponential.exponential(uids.stream(hashes[part], numbers)))
        yield from draws
