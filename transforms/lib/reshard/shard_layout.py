"""Which copies go into which output shard: equal shards, dense numbers, a seeded order, copies apart.

Two layouts share the output shards:

* **Runs.** Samples with few copies are laid out in passes: pass 0 holds each of them once, pass 1 those that have a
  second copy, and so on; inside a pass the input shards follow one another. Output shard k takes the k-th stretch of
  that sequence, so it reads few input shards. A pass is used only while enough samples have as many copies that the
  copies of one sample are at least a whole output shard apart.
* **Dealt samples.** All others are dealt like cards: the copies of one sample go to consecutive output shards.

``shuffle="full"`` deals everything.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64

SHUFFLES = ("none", "shards", "full")


class DecidedShard(NamedTuple):
    """One input shard as the plan sees it.

    Attributes:
      name: of the shard.
      uri: of its tar.
      stamp: of its decisions.
      counts: ``counts[j]`` samples have more than ``j`` copies.
    """

    name: str
    uri: str
    stamp: str
    counts: tuple[int, ...]


class Segment(NamedTuple):
    """Copies of one input shard, as an arithmetic progression.

    The samples meant are those with ``least`` to ``most`` copies, in tar order, or under ``shuffle="full"`` in the
    order of a hash. With ``u = first + stride * k`` for ``k < size``, the segment holds copy ``copy + u % per`` of
    sample ``u // per``.
    """

    name: str
    uri: str
    stamp: str
    least: int
    most: int
    copy: int
    per: int
    first: int
    stride: int
    size: int

    def picks(self) -> tuple[Int64, Int64]:
        """Returns int64 ``[size]`` numbers among the samples meant, and int64 ``[size]`` copies."""
        at = self.first + self.stride * np.arange(self.size, dtype=np.int64)
        return at // self.per, self.copy + at % self.per


class OutputShard(NamedTuple):
    """One output shard, or after a cut by bytes a part of one: what it takes from where.

    Attributes:
      number: dense, from 0.
      segments: where the copies come from.
      start: first copy, in the shard's own order, that is part of it.
      stop: the copy after the last one.
    """

    number: int
    segments: tuple[Segment, ...]
    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        """Copies in the shard."""
        return self.stop - self.start


def counts_of(copies: NDArray[np.uint16]) -> tuple[int, ...]:
    """Returns for j = 0, 1, ... how many samples have more than ``j`` copies, up to the last non-zero count.

    Args:
      copies: uint16 ``[n]``.
    """
    histogram = np.bincount(copies)
    return tuple(int(count) for count in histogram[::-1].cumsum()[::-1][1:])


def shard_order(names: Iterable[str], seed: int) -> list[str]:
    """Returns the names in an order that depends on nothing but the names and the seed."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest())


def output_shards(
    sources: Sequence[DecidedShard], samples_per_shard: int, seed: int, shuffle: str = "shards", spread: bool = False
) -> Iterator[OutputShard]:
    """Lays the copies of all sources out over equal output shards.

    All shards but the last hold ``samples_per_shard`` copies. Copies of one sample lie in different shards unless
    it has more copies than there are shards. Should more samples have a copy for every shard than the last shard
    has room for, both cannot hold; then all shards are made equal, to within one copy.

    Memory: 8 bytes per input shard and number of copies; the shards are made one by one.

    Args:
      sources: in any order; names are unique.
      samples_per_shard: copies in each output shard but the last, at least 1.
      seed: of the order of the sources.
      shuffle: ``none`` keeps the order of the names; ``shards`` permutes the sources; ``full`` deals every copy, so
        that each output shard takes its share of every source.
      spread: all shards are made equal, to within one copy; there are as many as without it.
    """
    by_name = {source.name: source for source in sources}
    names = sorted(by_name) if shuffle == "none" else shard_order(by_name, seed)
    ordered = [by_name[name] for name in names]
    counts = _matrix(ordered)
    if not counts.sum():
        return
    exactly = counts - np.pad(counts[:, 1:], ((0, 0), (0, 1)))
    sizes = _sizes(exactly.sum(0), samples_per_shard, spread)
    first_dealt = 1 if shuffle == "full" else _first_dealt(exactly.sum(0), samples_per_shard)
    deal = _Deal.of(ordered, exactly, first_dealt, sizes)
    runs = _Runs.of(ordered, counts, exactly, first_dealt)
    taken = 0
    for number, size in enumerate(sizes.tolist()):
        dealt = deal.segments(number)
        room = size - sum(segment.size for segment in dealt)
        yield OutputShard(number, (*runs.segments(taken, taken + room), *dealt), 0, size)
        taken += room


def _matrix(sources: Sequence[DecidedShard]) -> Int64:
    """Returns int64 ``[sources, passes]``: samples with more copies than the number of the pass."""
    counts = np.zeros((len(sources), max((len(source.counts) for source in sources), default=0)), np.int64)
    for row, source in enumerate(sources):
        counts[row, : len(source.counts)] = source.counts
    return counts


def _sizes(exactly: Int64, samples_per_shard: int, spread: bool) -> Int64:
    """Returns the copies of each output shard; ``exactly[m - 1]`` samples have ``m`` copies."""
    total = int((exactly * np.arange(1, len(exactly) + 1)).sum())
    shards = -(-total // samples_per_shard)
    last = total - (shards - 1) * samples_per_shard
    in_every_shard = int(exactly[shards - 1]) if shards <= len(exactly) else 0
    if spread or in_every_shard > last:
        return np.full(shards, total // shards, np.int64) + (np.arange(shards) < total % shards)
    return np.array([*[samples_per_shard] * (shards - 1), last], np.int64)


def _first_dealt(exactly: Int64, samples_per_shard: int) -> int:
    """Returns the smallest number of copies whose samples are dealt.

    Between two copies of a sample laid out in passes lie at least as many copies as there are samples with the
    largest number of copies that is laid out so; a whole shard's worth of these keeps them apart.
    """
    plenty = np.flatnonzero(exactly[1:] >= samples_per_shard)
    return int(plenty[-1]) + 3 if len(plenty) else 2


@dataclasses.dataclass(frozen=True)
class _Runs:
    """The sequence of passes: entry e is a pass over one source, at ``ends[e - 1]`` to ``ends[e]``."""

    sources: Sequence[DecidedShard]
    most: int
    ends: Int64

    @classmethod
    def of(cls, sources: Sequence[DecidedShard], counts: Int64, exactly: Int64, first_dealt: int) -> _Runs:
        most = min(first_dealt - 1, counts.shape[1])
        dealt = exactly[:, most:].sum(1, keepdims=True)
        return cls(sources, most, (counts[:, :most] - dealt).T.ravel().cumsum())

    def segments(self, start: int, stop: int) -> list[Segment]:
        """Returns what lies between two positions of the sequence."""
        found = []
        entry = int(np.searchsorted(self.ends, start, "right"))
        while start < stop:
            copy, number = divmod(entry, len(self.sources))
            begin, end = int(self.ends[entry - 1]) if entry else 0, min(stop, int(self.ends[entry]))
            if end > start:
                name, uri, stamp, _ = self.sources[number]
                found.append(Segment(name, uri, stamp, copy + 1, self.most, copy, 1, start - begin, 1, end - start))
                start = end
            entry += 1
        return found


@dataclasses.dataclass(frozen=True)
class _Deal:
    """The dealt samples in one sequence: those with the same number of copies together, source by source.

    Position q of the sequence goes to output shard ``q % wide`` while every shard has room, then to
    ``(q - wide * rows) % narrow``. Samples with a copy for every shard come first, then those with fewer, so that
    none meets the narrower rows that its copies would not fit.

    Attributes:
      numbers: int64 ``[e]``, the source of each entry.
      copies: int64 ``[e]``, the copies that each sample of the entry has.
      starts: int64 ``[e + 1]``, where each entry begins.
      rows: rows that are ``wide``; the shards of those rows are ``wide`` many, of the others ``narrow``.
    """

    sources: Sequence[DecidedShard]
    numbers: Int64
    copies: Int64
    starts: Int64
    rows: int
    wide: int
    narrow: int

    @classmethod
    def of(cls, sources: Sequence[DecidedShard], exactly: Int64, first_dealt: int, sizes: Int64) -> _Deal:
        of_class = np.arange(first_dealt, exactly.shape[1] + 1)
        of_class = of_class[np.lexsort((-of_class, of_class != len(sizes)))]
        samples = exactly[:, of_class - 1].T
        copies = np.repeat(of_class, len(sources))
        numbers = np.tile(np.arange(len(sources)), len(of_class))
        filled = np.flatnonzero(samples.ravel())
        starts = np.append(0, (samples.ravel() * copies)[filled].cumsum())
        narrow = int((sizes > sizes[-1]).sum())
        return cls(sources, numbers[filled], copies[filled], starts, int(sizes[-1]), len(sizes), narrow)

    def segments(self, number: int) -> list[Segment]:
        """Returns what is dealt to an output shard."""
        border = self.rows * self.wide
        found = self._progression(number, 0, min(border, int(self.starts[-1])), self.wide)
        if number < self.narrow:
            found += self._progression(border + number, border, int(self.starts[-1]), self.narrow)
        return found

    def _progression(self, first: int, low: int, high: int, stride: int) -> list[Segment]:
        """Returns the positions ``first``, ``first + stride``, ... from ``low`` to ``high``, entry by entry."""
        begin = np.maximum(self.starts[:-1], low)
        begin = begin + (first - begin) % stride
        count = np.maximum(0, -(-(np.minimum(self.starts[1:], high) - begin) // stride))
        found = []
        for entry in np.flatnonzero(count).tolist():
            name, uri, stamp, _ = self.sources[self.numbers[entry]]
            copies, start = int(self.copies[entry]), int(begin[entry] - self.starts[entry])
            found.append(Segment(name, uri, stamp, copies, copies, 0, copies, start, stride, int(count[entry])))
        return found


def cut_by_bytes(lengths: Int64, max_bytes: int) -> list[int]:
    """Cuts a sequence of samples into as few stretches as its byte limit needs, equal in bytes where that fits.

    Args:
      lengths: int64 ``[n]`` bytes of each sample, each at most ``max_bytes``; n is at least 1.
      max_bytes: of a stretch.

    Returns:
      where each stretch ends; the last one is n.
    """
    ends = lengths.cumsum()
    greedy: list[int] = []
    while not greedy or greedy[-1] < len(lengths):
        before = int(ends[greedy[-1] - 1]) if greedy else 0
        greedy.append(int(np.searchsorted(ends, before + max_bytes, "right")))
    targets = ends[-1] * np.arange(1, len(greedy) + 1) / len(greedy)
    equal = np.searchsorted(ends, targets - 0.5, "left") + 1
    equal[-1] = len(lengths)
    bytes_of = np.diff(ends[equal - 1], prepend=0)
    fits = (np.diff(equal, prepend=0) > 0).all() and (bytes_of <= max_bytes).all()
    return [int(end) for end in equal] if fits else greedy
