"""Which copies go into which output shard: equal shards, dense numbers, a seeded order.

Copies are laid out in passes: pass 0 holds every kept sample once, pass 1 every sample that has a second copy,
and so on; inside a pass shards follow in a seeded order. Output shard k takes the k-th run of
``samples_per_shard`` copies of that sequence, so only the last one is smaller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Source(NamedTuple):
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
    """Rows ``start:stop`` of those samples of a shard that have more than ``copy`` copies, in tar order."""

    name: str
    uri: str
    stamp: str
    copy: int
    start: int
    stop: int


class OutputShard(NamedTuple):
    """One output shard: its dense number and what it takes from where."""

    number: int
    segments: tuple[Segment, ...]

    @property
    def num_samples(self) -> int:
        """Copies in the shard."""
        return sum(segment.stop - segment.start for segment in self.segments)


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


def output_shards(sources: Sequence[Source], samples_per_shard: int, seed: int) -> Iterator[OutputShard]:
    """Lays the copies of all sources out over equal output shards.

    Args:
      sources: in any order; names are unique.
      samples_per_shard: copies in each output shard but the last, at least 1.
      seed: of the shard order.
    """
    by_name = {source.name: source for source in sources}
    ordered = [by_name[name] for name in shard_order(by_name, seed)]
    passes = max((len(source.counts) for source in ordered), default=0)
    number, room, segments = 0, samples_per_shard, []
    for copy in range(passes):
        for source in ordered:
            start, stop = 0, source.counts[copy] if copy < len(source.counts) else 0
            while start < stop:
                end = min(stop, start + room)
                segments.append(Segment(source.name, source.uri, source.stamp, copy, start, end))
                room -= end - start
                start = end
                if room == 0:
                    yield OutputShard(number, tuple(segments))
                    number, room, segments = number + 1, samples_per_shard, []
    if segments:
        yield OutputShard(number, tuple(segments))
