"""Soft capped sampling as a race: each sample fires its copies on its own, the earliest ``total`` win.

Drawing one at a time with odds ``exp(score)``, where each copy takes ``alpha`` off its sample's score, is a race of
independent pure-birth processes: after k copies a sample waits an exponential time of rate ``exp(score - alpha * k)``.
The order in which they fire is the order in which they would be drawn, so the ``total`` earliest events are the draw:
no loop over the pool, no weights to renormalise. ``alpha`` 0 is drawing with replacement, a cap of 1 without.

A sample's times depend on (seed, uid) alone and are simulated again in each round, to the same bits on any machine.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Float64, Int64
from transforms.lib.errors import CapacityError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.sampling import draw_rules
from transforms.lib.recipes.sampling.draw_rules import Candidates, Rules
from transforms.lib.stats import exponential, quantiles, ties

ROUNDS = 6  # four to find the bin, of which all but one are for pools of one uid; one to split it, one to order it
GATHERED = 1 << 16  # events that are ordered in one place
_CHUNK = 1 << 14  # events simulated at once: their arrays stay in the processor's cache
_GRID = 1024  # estimates are rounded to its parts, so that their last bits, which machines differ in, do not matter
_EVENT = np.dtype([("time", "<f8"), *ties.FIELDS, ("copy", "<i8")])
_COARSE, _FINE, _GATHER, _DONE = "coarse", "fine", "gather", "done"


@record("draw_race/1", formerly="race.Race")
@dataclasses.dataclass(frozen=True)
class Race:
    """What is known of the time at which the draw ends.

    A time is the logarithm of an event's time, relative to ``center`` and rounded to float32, as ``ordered_bits``:
    bins are narrow next to the time expected and wide far from it, and cover every score.

    Attributes:
      rules: what is drawn.
      shrink: ``exp(-alpha)``, computed once, so that every worker uses the same.
      center: expected log time of the last event drawn.
      phase: what the next round does.
      tries: times that too few events were counted.
      low, high: events before ``low`` are drawn; those up to ``high`` as far as they stand not after ``last``.
      left: of the events from ``low`` to ``high``, how many are drawn.
      last: the last event drawn, as a record of (time, hash, shard, row, copy); all to ``high`` are when empty.
    """

    rules: Rules
    shrink: float
    center: float
    phase: str = _COARSE
    tries: int = 0
    low: int = 0
    high: int = 0
    left: int = 0
    last: tuple[Any, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the draw is known."""
        return self.phase == _DONE

    def summarise(self, candidates: Candidates) -> NDArray[Any]:
        """Returns counts of events by the upper or lower 16 bits of their time, or the events of one bin."""
        parts = [self._parts(candidates, spread) for spread in _spreads(candidates, self, self.high)]
        if self.phase == _GATHER:
            return np.concatenate([np.zeros(0, _EVENT), *parts])
        bits = np.concatenate([np.zeros(0, np.uint32), *parts])
        return quantiles.count_high(bits) if self.phase == _COARSE else quantiles.count_low(bits, self.low >> 16)

    def _parts(self, candidates: Candidates, spread: _Spread) -> NDArray[Any]:
        inside = (spread.bits >= self.low) & spread.inside
        if self.phase != _GATHER:
            return spread.bits[inside]
        number, which = np.nonzero(inside)
        events = np.empty(len(which), _EVENT)
        events[[name for name, _ in ties.FIELDS]] = candidates.places(spread.which[which])
        events["time"], events["copy"] = spread.times[inside], spread.first + number
        return events

    def solve(self, summary: NDArray[Any], counts: Int64) -> Race:
        """Returns the next state; ``counts`` are those of the pool's scores, for another try.

        Raises:
          CapacityError: the total cannot be met with as many copies of a sample as a decision can hold.
        """
        if self.phase == _COARSE:
            if summary.sum() < self.rules.total:
                return self._again(counts)
            high, left = quantiles.bin_from_bottom(summary, self.rules.total)
            split = _DONE if left == summary[high] else _GATHER if summary[high] <= GATHERED else _FINE
            return dataclasses.replace(
                self, phase=split, low=high << 16, high=min(high << 16 | 0xFFFF, self.high), left=left
            )
        if self.phase == _FINE:
            low, left = quantiles.bin_from_bottom(summary, self.left)
            bits = self.low | low
            return dataclasses.replace(
                self, phase=_DONE if left == summary[low] else _GATHER, low=bits, high=bits, left=left
            )
        return dataclasses.replace(self, phase=_DONE, last=ties.nth(summary, self.left))

    def _again(self, counts: Int64) -> Race:
        if self.tries == 3:
            raise CapacityError(
                f"{self.rules.label}: {self.rules.total} copies need more than 65,535 of one sample; lower total, "
                "raise alpha, or cap the copies with hard_cap_sample"
            )
        return start(self.rules, counts, self.tries + 1)

    def copies(self, candidates: Candidates) -> tuple[Int64, Float64]:
        """Returns int64 ``[n]`` copies, and float64 ``[n]`` how early the first one fires, in units of the score."""
        copies = np.zeros(len(candidates.rows), np.int64)
        first = np.zeros(len(candidates.rows))
        for spread in _spreads(candidates, self, self.high):
            drawn = spread.inside
            if self.last:
                drawn = drawn.copy()
                number, which = np.nonzero(drawn & (spread.bits >= self.low))
                drawn[number, which] = ties.at_or_before(self._border(candidates, spread), self.last)
            copies[spread.which] += drawn.sum(0)
            if spread.first == 0:
                first[spread.which] = spread.times[0]
        return copies, self.center + quantiles.score_of(self.high) - first

    def _border(self, candidates: Candidates, spread: _Spread) -> NDArray[Any]:
        return dataclasses.replace(self, phase=_GATHER)._parts(candidates, spread)


def start(rules: Rules, counts: Int64, tries: int = 0) -> Race:
    """Returns a race that is to be run, from the counts of the pool's scores.

    Events are counted up to the time at which a few more than ``total`` are expected: 4 % and twelve standard
    deviations of a Poisson number, and 64 times that, three units later, with each further try.
    """
    aim = (1.04 * rules.total + 12 * math.sqrt(rules.total) + 12) * 64**tries
    center = round(draw_rules.log_time(counts, rules.total, rules.alpha, rules.cap) * _GRID) / _GRID
    end = math.ceil(draw_rules.log_time(counts, aim, rules.alpha, rules.cap) * _GRID) / _GRID + 3 * tries
    high = int(quantiles.ordered_bits(np.array([end - center], np.float32))[0])
    shrink = float(Decimal(-rules.alpha).exp())  # the same on any machine, unlike exp of its C library
    return Race(rules, shrink, center, tries=tries, high=high)


@dataclasses.dataclass(frozen=True)
class _Spread:
    """Some consecutive events of some candidates.

    Attributes:
      which: int64 ``[m]``, the candidates.
      first: number of the first event of each, from 0.
      times: float64 ``[k, m]``, log times, not falling along k.
      bits: uint32 ``[k, m]``, ``times`` as a ``Race`` counts them.
      inside: bool ``[k, m]``, whether they are in time.
    """

    which: Int64
    first: int
    times: Float64
    bits: NDArray[np.uint32]
    inside: Bool


def _spreads(candidates: Candidates, race: Race, high: int) -> Iterator[_Spread]:
    """Yields the events of all candidates up to the time ``high``, and for each one the first that is later."""
    for start in range(0, len(candidates.rows), _CHUNK):
        chunk = candidates.part(start, start + _CHUNK)
        which = np.arange(start, start + len(chunk.rows))
        clock, last, first = np.zeros(len(which)), np.full(len(which), -np.inf), 0
        while len(which) and first < race.rules.cap:
            steps = min(max(_CHUNK // 4 // len(which), 1), 64, race.rules.cap - first)
            spread, clock = _simulate(candidates, which, first, steps, race, clock, last, high)
            yield spread
            on = spread.inside[-1]
            which, clock, last, first = which[on], clock[on], spread.times[-1][on], first + steps


def _simulate(
    candidates: Candidates, which: Int64, first: int, steps: int, race: Race, clock: Float64, last: Float64,
    high: int,
) -> tuple[_Spread, Float64]:  # fmt: skip
    """Returns the events ``first`` to ``first + steps`` of some candidates, and their clocks after them.

    The time of event k is ``sum of exponential(j) * exp(alpha * j - score)`` for j up to k; the clock is that sum less
    its factor ``exp(alpha * k - score)``, which alone may be out of range.
    """
    numbers = np.arange(first, first + steps, dtype=np.int64)
    times = exponential.exponential(uids.stream(candidates.hashes[which], numbers.astype(np.uint64)[:, None]))
    for step in range(steps):
        times[step] += clock * race.shrink
        clock = times[step].copy()
    times = exponential.log(times) + race.rules.alpha * numbers[:, None] - candidates.scores[which]
    times[0] = np.maximum(times[0], last)
    np.maximum.accumulate(times, axis=0, out=times)  # rounding must not let an event overtake an earlier one
    with np.errstate(over="ignore"):
        bits = quantiles.ordered_bits(times - race.center)
    return _Spread(which, first, times, bits, bits <= high), clock
