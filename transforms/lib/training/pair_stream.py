"""Pairs of a pool of any size in a seeded order: shards stream by, and a bounded number of pairs is in memory.

The shards of all passes form one endless list: each pass in an order of its own, drawn by (seed, pass, shard). A fixed
number of lanes takes shards from it in turn. A lane reads its shards from front to back, cuts what it reads into
stretches of equal length, and mixes each stretch. A batch takes equally many pairs of every lane. So the order depends
on the seed and the shards alone, not on how many processes share the lanes, and a lane's place is five numbers, from
which it goes on without reading the passes before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from transforms.lib.errors import ConfigError


class Example(NamedTuple):
    """One pair, as a pass meets it.

    Attributes:
      image: encoded.
      caption: what is said of it, or the name of its class where ``labelled``.
      labelled: whether the caption is to be made from a class name.
      draw: 64 bits of (seed, pass, shard, row), by which everything about it is drawn.
    """

    image: bytes
    caption: str
    labelled: bool
    draw: int


class Source(NamedTuple):
    """A shard to read pairs from.

    Attributes:
      name: by which the order is drawn: of its data set and its place in it, not its address.
      uri: where it is.
      times: how often a pass reads it, above 0; 1.5 is once or twice, by a draw.
      kind: of its data set, for whoever reads it.
    """

    name: str
    uri: str
    times: float
    kind: str


Read = Callable[[Source], Iterator[tuple[int, bytes, str, bool]]]
"""Source -> (row, image, caption, labelled) of the pairs to train on, in order."""


@dataclasses.dataclass(frozen=True)
class StreamSettings:
    """How pairs are mixed.

    Attributes:
      seed: of every draw.
      lanes: streams that a batch is taken from in equal parts.
      stretch: pairs of a lane that are mixed with one another; up to twice as many are in memory.
    """

    seed: int
    lanes: int
    stretch: int


class Place(NamedTuple):
    """Where a lane is: at a stretch's start, and how many of its pairs are used.

    Attributes:
      stretch: number of the stretch.
      shard: place of its first pair's shard in the endless list.
      row: rows of that shard that are read already.
      used: pairs of the stretch that were taken.
    """

    stretch: int
    shard: int
    row: int
    used: int


START = Place(0, 0, 0, 0)
"""Where a lane begins."""


def draw(*parts: object) -> int:
    """Returns 64 bits that depend on the parts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")


def lanes_of(shards: int, batch_size: int) -> int:
    """Returns the lanes for a pool: the largest power of two up to 8 that divides the batch; not more than shards."""
    return max(n for n in (1, 2, 4, 8) if n <= max(1, shards) and batch_size % n == 0)


def endless(sources: Sequence[Source], seed: int) -> Iterator[tuple[int, int, Source]]:
    """Yields (pass, copy, shard) for ever, each pass in an order of its own."""
    for turn in itertools.count():
        listed = []
        for source in sources:
            whole = int(source.times)
            more = draw(seed, turn, source.name, "more") / 2**64 < source.times - whole
            listed += [(turn, copy, source) for copy in range(whole + more)]
        yield from sorted(listed, key=lambda one: draw(seed, one[0], one[1], one[2].name))


class Lane:
    """One of the streams that a batch is taken from.

    Args:
      number: of the lane.
      sources: all shards of the pool.
      settings: how pairs are mixed.
      read: reads a shard.
      threads: read the next stretch while this one is used.
      place: where to begin.
    """

    def __init__(
        self,
        number: int,
        sources: Sequence[Source],
        settings: StreamSettings,
        read: Read,
        threads: ThreadPoolExecutor,
        place: Place = START,
    ) -> None:
        self._number, self._settings, self._read, self._threads = number, settings, read, threads
        self._sources = sources
        self._found = self._pairs(place.shard, place.row)
        self._start = place._replace(used=0)
        self._used = place.used
        self._pairs_here, self._after = self._stretch(self._start)
        self._next: Future[tuple[list[Example], Place]] = self._ahead()

    @property
    def place(self) -> Place:
        """Where the lane is."""
        return self._start._replace(used=self._used)

    def take(self, count: int) -> list[Example]:
        """Returns the next pairs."""
        taken: list[Example] = []
        while len(taken) < count:
            if self._used == len(self._pairs_here):
                self._start, self._used = self._after, 0
                self._pairs_here, self._after = self._next.result()
                self._next = self._ahead()
            part = self._pairs_here[self._used : self._used + count - len(taken)]
            self._used += len(part)
            taken += part
        return taken

    def _ahead(self) -> Future[tuple[list[Example], Place]]:
        return self._threads.submit(self._stretch, self._after)

    def _stretch(self, start: Place) -> tuple[list[Example], Place]:
        """Reads the stretch that begins at ``start``, where the lane stands; returns it mixed, and the next start."""
        pairs, shard, row = [], start.shard, start.row
        for at, read, example in itertools.islice(self._found, self._settings.stretch):
            shard, row = at, read
            pairs.append(example)
        order = np.random.default_rng([self._settings.seed, self._number, start.stretch]).permutation(len(pairs))
        return [pairs[at] for at in order], Place(start.stretch + 1, shard, row, 0)

    def _pairs(self, first: int, row: int) -> Iterator[tuple[int, int, Example]]:
        """Yields (place of the shard, rows read of it, pair) for ever.

        Raises:
          ConfigError: two passes over the pool have no pair.
        """
        seed, lanes = self._settings.seed, self._settings.lanes
        listed = itertools.islice(endless(self._sources, seed), self._number, None, lanes)
        barren = 0
        for at, (turn, copy, source) in itertools.islice(enumerate(listed), first, None):
            barren += 1
            for number, image, caption, labelled in self._read(source):
                if at == first and number < row:
                    continue
                barren = 0
                yield at, number + 1, Example(image, caption, labelled, draw(seed, turn, copy, source.name, number))
            if barren > 2 * len(self._sources) + 2:
                raise ConfigError(f"--input: none of {len(self._sources)} shards has a pair to train on; check --input")
