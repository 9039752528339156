"""What all ways of drawing copies share: who takes part, the counts of their scores, the copies to expect."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32, Float64, Int64, UInt64
from transforms.lib.columnstore.block import MAX_COPIES
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.stats import quantiles, ties

UNCAPPED = MAX_COPIES + 1  # one more than a decision can hold: reaching it is an error, never a cap


@record("draw_rules/1", formerly="contest.Rules")
@dataclasses.dataclass(frozen=True)
class Rules:
    """What is drawn.

    Attributes:
      label: of the step, for messages.
      total: copies to draw, exactly.
      alpha: what each copy takes off its sample's score; 0 takes nothing.
      cap: copies of a sample at most; ``UNCAPPED`` for none.
      batch: copies that are drawn together, no sample twice; 1 in a race.
    """

    label: str
    total: int
    alpha: float
    cap: int = UNCAPPED
    batch: int = 1


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The rows of one shard that take part in a draw.

    Attributes:
      shard: its name.
      rows: int64 ``[n]``, in tar order.
      scores: float64 ``[n]``, finite log-odds.
      hashes: uint64 ``[n]``, ``uids.keyed_hash`` of their uids.
    """

    shard: str
    rows: Int64
    scores: Float64
    hashes: UInt64

    def part(self, start: int, stop: int) -> Candidates:
        """Returns the candidates ``start:stop``."""
        cut = slice(start, stop)
        return Candidates(self.shard, self.rows[cut], self.scores[cut], self.hashes[cut])

    def places(self, which: Int64) -> NDArray[np.void]:
        """Returns ``ties.DTYPE`` ``[m]``: the places among equals of the candidates ``which``."""
        return ties.order(self.shard, self.rows[which], self.hashes[which])


def count_scores(scores: Float32) -> Int64:
    """Returns int64 ``[2, BINS]``: counts by the upper 16 ordered bits, and sums of the lower 16; exact, additive."""
    bits = quantiles.ordered_bits(scores)
    high = (bits >> np.uint32(16)).astype(np.intp)
    low = (bits & np.uint32(0xFFFF)).astype(np.float64)
    return np.stack([np.bincount(high, weights, quantiles.BINS) for weights in (None, low)]).astype(np.int64)


def expected(log_time: float, scores: Float64, alpha: float, cap: int) -> Float64:
    """Returns the mean-field number of copies of samples by a log time.

    With alpha it is ``log(1 + alpha * t) / alpha`` for ``t = exp(score + log_time)``, at most ``cap``; without, the
    mean of ``min(Poisson(t), cap)``.
    """
    from scipy.special import pdtr

    if alpha > 0:
        return np.asarray(np.minimum(np.logaddexp(0, scores + log_time + math.log(alpha)) / alpha, cap), np.float64)
    t = np.exp(np.minimum(scores + log_time, 700.0))
    if cap == UNCAPPED:
        return np.minimum(t, np.float64(cap))
    t = np.minimum(t, 1e6 + 4 * cap)
    below = pdtr(cap - 2, t) if cap > 1 else np.zeros_like(t)
    return np.asarray(t * below + cap * (1 - pdtr(cap - 1, t)), np.float64)


def most_expected(counts: Int64, total: int, alpha: float) -> float:
    """Returns the mean-field copies of the sample with the highest score when ``total`` are drawn one at a time.

    Args: as of ``log_time``. At most ``UNCAPPED``.
    """
    best = _scores(counts)[1].max()
    return float(expected(log_time(counts, total, alpha, UNCAPPED), best, alpha, UNCAPPED))


def log_time(counts: Int64, target: float, alpha: float, cap: int) -> float:
    """Finds the log time at which samples are expected to have ``target`` copies together.

    Args:
      counts: int64 ``[2, BINS]``, the sum of ``count_scores`` over the pool, at least one sample.
      target: copies; where the cap does not allow as many, the latest useful time is returned.
      alpha, cap: as in ``Rules``.
    """
    return _log_time(*_scores(counts), target, alpha, cap)


def unique_share(counts: Int64, scale: float, total: int, alpha: float) -> float:
    """Returns the different samples among ``total`` copies, drawn one at a time, as a mean-field share of the copies.

    A sample is drawn at least once by a log time with probability ``1 - exp(-exp(score + log_time))``.

    Args:
      counts: as of ``log_time``.
      scale: what all scores are multiplied by first, above 0.
      total: copies, at least 1.
      alpha: as in ``Rules``.
    """
    weights, scores = _scores(counts)
    scaled = scores * scale
    rate = np.exp(np.minimum(scaled + _log_time(weights, scaled, total, alpha, UNCAPPED), 700.0))
    return float((weights * -np.expm1(-rate)).sum()) / total


def _log_time(weights: Int64, scores: Float64, target: float, alpha: float, cap: int) -> float:
    def copies(at: float) -> float:
        return float((weights * expected(at, scores, alpha, cap)).sum())

    low = -float(scores.max()) - 100.0
    high = -float(scores.min()) + 100.0 + alpha * (target / int(weights.sum()) + 1)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if copies(middle) < target else (low, middle)
    return float(high)


def _scores(counts: Int64) -> tuple[Int64, Float64]:
    """Returns how many samples each bin that has some holds, and the mean of their scores' bits as a score."""
    bins = np.flatnonzero(counts[0])
    weights = counts[0, bins]
    middles = (bins << 16) + counts[1, bins] // weights
    return weights, quantiles.scores_of(middles.astype(np.uint32)).astype(np.float64)
