"""What deduplication reads: its settings, and the samples of a shard that can be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.arrays import Bool, Int64
from transforms.lib.columnstore import columns
from transforms.lib.dedup import groups
from transforms.outputs.store import Store
from transforms.rows import ShardRef

VERSION = 3  # raise when the same columns would give other duplicates

Numbered = tuple[int, ShardRef]  # a shard and its number
_COUNTS = ("samples", "compared", "duplicates", "survivors")


@dataclasses.dataclass(frozen=True)
class DedupSettings:
    """Everything deduplication needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set that is written.
      by: ``exact``, ``uid``, ``phash`` or ``semantic``.
      fresh: shards of the pool; they have the numbers below it, those of the earlier pool come after.
      parts: places at which samples of all shards meet.
      earlier: output folder of the earlier pool; empty for none.
      order: ``hard``, ``easy``, ``random`` or ``best``.
      score: (column set, column) of ``best``; None otherwise.
      seed: of ties.
      radius: of ``phash``.
      epsilon: of ``semantic``.
      chains: of ``semantic``.
      clusters: column set with ``cluster`` and ``similarity``.
      embedding: (column set, column) of the embeddings.
      stamp: of what is made, a function of everything above but addresses, and of what all columns read hold.
    """

    root: str
    name: str
    by: str
    fresh: int
    parts: int = 1
    earlier: str = ""
    order: str = "random"
    score: tuple[str, str] | None = None
    seed: int = 0
    radius: int = 2
    epsilon: float = 0.07
    chains: str = "released"
    clusters: str = ""
    embedding: tuple[str, str] = ("", "")
    stamp: str = ""

    @property
    def words(self) -> int:
        """Words of an identity that make two samples copies."""
        return 1 if self.by == "phash" else 4

    def store(self, number: int) -> Store:
        """Returns the store that has the columns of a shard."""
        return Store(self.root if number < self.fresh else self.earlier)

    def reads(self) -> tuple[str, ...]:
        """Returns the column sets that are read of every shard."""
        return (columns.INDEX, *((self.clusters, self.embedding[0]) if self.by == "semantic" else ()))

    def stamped(self, inputs: list[str]) -> DedupSettings:
        """Returns the settings with the stamp of what they make from inputs of these digests."""
        values = dataclasses.asdict(self)
        for name in ("root", "earlier", "stamp"):
            del values[name]
        return dataclasses.replace(self, stamp=stamps.stamp(version=VERSION, inputs=inputs, **values))

    def reads_of_own(self) -> tuple[str, ...]:
        """Returns the column sets that are read of the shards of the pool."""
        return tuple(dict.fromkeys([*self.reads(), *((self.score[0],) if self.score else ())]))

    def finished(self, ref: ShardRef) -> dict[str, int] | None:
        """Returns the counts of a shard that is done; None when its columns are absent or made from something else."""
        facts = Store(self.root).facts(self.name, ref.name)
        return {name: int(facts[name]) for name in _COUNTS} if facts.get("stamp") == self.stamp else None


@dataclasses.dataclass(frozen=True)
class Samples:
    """The samples of one shard that can be compared, and their columns, row-aligned with ``rows``."""

    rows: Int64
    columns: Mapping[str, NDArray[Any]]

    def take(self, chosen: Bool | Int64) -> Samples:
        """Returns some of the samples."""
        return Samples(self.rows[chosen], {name: values[chosen] for name, values in self.columns.items()})


_IDENTITY = {"exact": ("image_sha256",), "uid": ("uid",), "phash": ("phash", "width")}
"""Columns of the index that make two samples copies, and that tell whether a sample has them."""


def has_identity(arrays: Mapping[str, NDArray[Any]], by: str) -> Bool:
    """Tells which samples can be copies at all, bool ``[n]``.

    A sample whose image nobody read, as in imported metadata, has a sha256 only if the metadata says so, and no
    perceptual hash. The column ``phash`` is 0 then, as for a black image; the width is 0 for the former alone.
    """
    ok: Bool = arrays["status"] == columns.OK
    if by == "exact":
        return ok & groups.is_digest(arrays["image_sha256"])
    return ok & (arrays["width"] > 0) if by == "phash" else ok


def count_identities(store: Store, ref: ShardRef, by: str) -> tuple[int, int]:
    """Returns how many samples of a shard are not rejected, and how many of them can be copies; not ``semantic``."""
    wanted = {name: (columns.INDEX, name) for name in ("status", *_IDENTITY[by])}
    arrays = store.arrays(ref.name, wanted)
    return int((arrays["status"] == columns.OK).sum()), int(has_identity(arrays, by).sum())


def read(numbered: Numbered, settings: DedupSettings, wanted: Mapping[str, tuple[str, str]]) -> Samples:
    """Reads the samples of a shard that can be copies, with the columns that their identity and order need.

    Args:
      numbered: the shard.
      settings: what is compared.
      wanted: further columns, name -> (column set, column).
    """
    number, ref = numbered
    more = {"winnow order": settings.score} if settings.score and number < settings.fresh else {}
    named = {name: (columns.INDEX, name) for name in ("status", *_IDENTITY.get(settings.by, ()))}
    arrays = settings.store(number).arrays(ref.name, {**named, **wanted, **more})
    return Samples(np.arange(len(arrays["status"])), arrays).take(has_identity(arrays, settings.by))


def place(records: NDArray[Any], number: int, samples: Samples, settings: DedupSettings) -> NDArray[Any]:
    """Fills in the fields of ``groups.PLACE``."""
    values = samples.columns.get("winnow order")
    largest_first = settings.order in ("best", "easy")
    if settings.order in ("hard", "easy"):
        values = samples.columns["similarity"]
    records["uid"], records["shard"], records["row"] = samples.columns["uid"], number, samples.rows
    records["order"] = groups.order_of(values, len(records), largest_first=largest_first)
    return records
