"""PTransforms that choose among elements of any type, exactly: top fraction, quantile and soft capped sample."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.fit import MergeSummariesFn, solve
from transforms.lib import uids
from transforms.lib.arrays import Float32, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, EmptyPoolError
from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.steps import sample, top_fraction
from transforms.lib.stats import quantiles
from winnow.pairs import Reader, read, uid_of

T = TypeVar("T")

_BATCH = {"min_batch_size": 1_000, "max_batch_size": 10_000}


class _Batch(NamedTuple):
    """Some elements, and what decides about them as arrays.

    Attributes:
      name: of the batch, another one each time.
      elements: as they came.
      uid: uint64 ``[n, 2]``.
      score: float32 ``[n]``, NaN where an element has none.
    """

    name: str
    elements: Sequence[Any]
    uid: Any
    score: Any

    @property
    def block(self) -> Block:
        """The batch as a step sees it."""
        valid = np.isfinite(self.score)
        return Block(self.name, {"uid": self.uid, "score": self.score}, valid, valid.astype(np.uint16))


def _scores(elements: Sequence[Any], by: Reader) -> Float32:
    values = [read(element, by) for element in elements]
    return np.array([np.nan if value is None else value for value in values], np.float32)


def _batch(elements: Sequence[Any], by: Reader, uid: Reader) -> _Batch:
    pairs = uids.pairs([uid_of(element, uid) for element in elements])
    return _Batch(uuid.uuid4().hex, elements, pairs, _scores(elements, by))


def _summarise(batch: _Batch, states: tuple[Any, ...], step: Step) -> Any:
    return step.summarise(batch.block, states[-1]) if step.needs(states[-1]) else None


def _chosen(batch: _Batch, states: tuple[Any, ...], step: Step) -> Iterator[Any]:
    copies = step.apply(batch.block, states[-1]).copies
    for row in np.flatnonzero(copies).tolist():
        for _ in range(int(copies[row])):
            yield batch.elements[row]


class _Choose(beam.PTransform):
    """Applies one step of a recipe to elements; the rounds are those of ``winnow select``, over batches of elements."""

    def __init__(self, step: Step, by: Reader, uid: Reader) -> None:
        super().__init__()
        if problems := [line.removeprefix(f"{step.label}.") for line in step.problems()]:
            raise ConfigError([f"{type(self).__name__}: {line}" for line in problems])
        self._step, self._by, self._uid = step, by, uid

    def expand(self, elements: beam.PCollection[T]) -> beam.PCollection[T]:
        step = self._step
        batches = (
            elements
            | "Gather" >> beam.BatchElements(**_BATCH)
            | "Batch" >> beam.Map(_batch, self._by, self._uid)
            | "Fix" >> beam.Reshuffle()  # every round must see the same batches
        )
        states = elements.pipeline | "Start" >> beam.Create([(step.start(),)])
        for turn in range(step.rounds):
            summary = (
                batches
                | f"Summarise{turn}" >> beam.Map(_summarise, AsSingleton(states), step)
                | f"Merge{turn}" >> beam.CombineGlobally(MergeSummariesFn(step))
            )
            states = summary | f"Solve{turn}" >> beam.Map(solve, AsSingleton(states), step)
        chosen = batches | "Choose" >> beam.FlatMap(_chosen, AsSingleton(states), step)
        chosen.element_type = elements.element_type
        return chosen


class TopFraction(_Choose):
    """Keeps the elements with the highest scores: exactly ``floor(fraction * N + 1/2)`` of them, each as it came.

    Ties at the threshold go by a hash of (seed, uid), as in ``winnow select``, so the same samples are kept, whatever
    the order and the number of workers. Elements whose score is NaN or None are not counted and not kept.

    Cost: elements are shuffled once, and read once in each of up to five rounds; a round merges 512 KiB.

    Args:
      fraction: share to keep, in (0, 1].
      by: where the score is: an attribute, a key of a mapping, or a function of the element; rounded to float32.
      uid: where the uid is, likewise; 32 hex digits, or any text or number, by the rule of ``--uid_field``.
      seed: of the order of ties.
      rule: ``exact``, or ``datacomp`` for the rule of DataComp's baselines, which keeps one more and all ties.

    Raises:
      ConfigError: a parameter is out of range. When it runs, ``EmptyPoolError`` where no element has a score.
    """

    def __init__(
        self, fraction: float, by: Reader = "score", uid: Reader = "uid", seed: int = 0, rule: str = "exact"
    ) -> None:
        step = top_fraction.TopFraction("top_fraction", fraction=fraction, seed=seed, rule=rule)
        super().__init__(step, by, uid)


class SoftCapSample(_Choose):
    """Draws ``total`` copies with odds ``exp(score)``, each copy lowering the score by ``alpha``; one element per copy.

    Soft Cap Sampling of FLYT (Shechter and Carmon 2025, arXiv:2503.08805); the same copies as the step
    ``soft_cap_sample`` draws. Elements whose score is NaN or None take no part; a uid should come once.

    Cost: elements are shuffled once, and read once in each of up to five rounds; a round merges up to 1 MiB.

    Args:
      total: copies to draw; 0 = as many as there are elements.
      by: where the log-odds are, as in ``TopFraction``.
      uid: where the uid is, as in ``TopFraction``.
      alpha: penalty per copy, in the unit of the score, at least 0; published: 0.15 and 0.25.
      batch: copies between two updates of the scores; published: 100,000.
      seed: of the draws.

    Raises:
      ConfigError: a parameter is out of range. When it runs, ``EmptyPoolError`` where no element has a score.
    """

    def __init__(
        self,
        total: int = 0,
        by: Reader = "score",
        uid: Reader = "uid",
        alpha: float = 0.15,
        batch: int = 100_000,
        seed: int = 0,
    ) -> None:
        step = sample.SoftCapSample("soft_cap_sample", total=total, alpha=alpha, batch=batch, seed=seed)
        super().__init__(step, by, uid)


class _AddCounts(beam.CombineFn):
    """Adds counts ``[65536]``; None is the empty accumulator."""

    def create_accumulator(self) -> Int64 | None:
        return None

    def add_input(self, total: Int64 | None, more: Int64) -> Int64:
        return more if total is None else total + more

    def merge_accumulators(self, totals: Iterable[Int64 | None]) -> Int64 | None:
        found = [total for total in totals if total is not None]
        return np.sum(found, axis=0) if found else None

    def extract_output(self, total: Int64 | None) -> Int64 | None:
        return total


class ExactQuantile(beam.PTransform):
    """Finds a quantile, exactly: elements in, one float out, the value of one of them.

    It is the smallest value ``v`` such that at least ``q * N`` elements have a value of at most ``v``, as
    ``numpy.quantile(values, q, method="inverted_cdf")``. NaN and None are not counted. No sketch, no interpolation.

    Cost: the values, 4 bytes each, are read twice; 512 KiB are merged in each round.

    Args:
      q: in [0, 1]; 0 is the smallest value, 1 the largest.
      by: where the value is, as in ``TopFraction``; None where the element is the number. Rounded to float32.

    Raises:
      ConfigError: ``q`` is out of range. When it runs, ``EmptyPoolError`` where no element has a value.
    """

    def __init__(self, q: float, by: Reader | None = None) -> None:
        super().__init__()
        if not 0 <= q <= 1:
            raise ConfigError(f"ExactQuantile: q must be in [0, 1], got {q}; 0.5 is the median")
        self._q = q
        self._by = by or float

    def expand(self, elements: beam.PCollection[T]) -> beam.PCollection[float]:
        bits = (
            elements
            | "Gather" >> beam.BatchElements(**_BATCH)
            | "Bits" >> beam.Map(_bits, self._by)
            | "Fix" >> beam.Reshuffle()
        )
        high = bits | "CountHigh" >> beam.Map(quantiles.count_high) | "AddHigh" >> beam.CombineGlobally(_AddCounts())
        place = high | "FindHigh" >> beam.Map(_place, self._q)
        low = (
            bits
            | "CountLow" >> beam.Map(lambda bits, place: quantiles.count_low(bits, place[0]), AsSingleton(place))
            | "AddLow" >> beam.CombineGlobally(_AddCounts())
        )
        return low | "FindLow" >> beam.Map(_value, AsSingleton(place)).with_output_types(float)


def _bits(elements: Sequence[Any], by: Reader) -> Any:
    scores = _scores(elements, by)
    return quantiles.ordered_bits(scores[~np.isnan(scores)])


def _place(counts: Int64 | None, q: float) -> tuple[int, int]:
    """Returns the upper 16 bits of the quantile, and its rank from the smallest among those that share them."""
    total = 0 if counts is None else int(counts.sum())
    if counts is None or total == 0:
        raise EmptyPoolError("ExactQuantile: no element has a value, so there is no quantile")
    return quantiles.bin_from_bottom(counts, max(1, quantiles.number_at_least(q, total)))


def _value(counts: Int64, place: tuple[int, int]) -> float:
    return quantiles.score_of(place[0] << 16 | quantiles.bin_from_bottom(counts, place[1])[0])
