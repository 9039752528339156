"""The pool as a table: the shards of an output folder lie in ``pool.parquet``, and nobody holds all of them.

The file has a row per shard, sorted by name, in row groups of ``GROUP`` shards. Whoever starts a job reads the footer:
how many shards there are, and their stamp. Workers read the row groups. So neither the graph of a pipeline nor the
memory of who starts it grows with the number of shards. It is one file, not a folder of parts, because one file is
replaced whole: no reader ever sees half of the old pool and half of the new one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import pyarrow as pa

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.set_record import SetRecord, digest_of
from transforms.lib.errors import DamagedError, InputError, MissingError
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import stored_files
from transforms.rows import Shard, ShardRef
from transforms.storage import filesystem

NAME = "pool.parquet"
GROUP = 4096
"""Shards of a row group: what one worker reads at a time, some 400 KiB."""

_SCHEMA = pa.schema([("name", pa.string()), ("uri", pa.string()), ("size", pa.int64()), ("stamp", pa.string())])


class PoolPart(NamedTuple):
    """A row group of the table of a pool.

    Attributes:
      uri: of the table.
      stamp: of the pool that is meant.
      group: number of the row group.
      first: number of its first shard, in the order of the names.
    """

    uri: str
    stamp: str
    group: int
    first: int

    def shards(self) -> list[Shard]:
        """Reads the shards of the part.

        Raises:
          InputError: another run has put another pool there meanwhile.
          DamagedError: the table is not as it was written.
        """
        opened = filesystem.open_read if filesystem.is_local(self.uri) else filesystem.open_ranges
        with stored_files.as_written(self.uri), opened(self.uri) as file:
            reader = ParquetReader(file)
            if columns.facts_of(reader.schema).get("stamp") != self.stamp:
                raise InputError(f"{self.uri} is that of another pool since this job began; run the job again")
            table = reader.read(_SCHEMA.names, self.group)
        return [Shard(*row) for row in zip(*(table[name].to_pylist() for name in _SCHEMA.names), strict=True)]


@dataclasses.dataclass(frozen=True)
class Pool(Sequence[ShardRef]):
    """The shards of an output folder, sorted by name: a sequence that reads them when they are asked for.

    Its length costs nothing, its first shard one row group; who iterates over it holds ``GROUP`` shards at a time.

    Attributes:
      uri: of the table.
      stamp: of the pool: of its shards, their sizes and times.
      group_rows: how many shards each row group has.
      names_digest: hex digits, as the table says it; empty in one of an earlier version.
    """

    uri: str
    stamp: str
    group_rows: tuple[int, ...]
    names_digest: str = ""

    def has_all(self, record: SetRecord) -> bool:
        """Tells whether a column set has a file of every shard, and of no other, by what the manifest says of it."""
        if record.shards != len(self):
            return False
        names = int(self.names_digest, 16) if self.names_digest else digest_of(ref.name for ref in self)
        return record.names == names

    def parts(self) -> list[PoolPart]:
        """Returns the parts of the table, which workers read."""
        starts = [sum(self.group_rows[:group]) for group in range(len(self.group_rows))]
        return [PoolPart(self.uri, self.stamp, group, start) for group, start in enumerate(starts)]

    def __len__(self) -> int:
        return sum(self.group_rows)

    def __iter__(self) -> Iterator[ShardRef]:
        for part in self.parts():
            yield from map(ref_of, part.shards())

    @overload
    def __getitem__(self, at: int) -> ShardRef: ...
    @overload
    def __getitem__(self, at: slice) -> list[ShardRef]: ...
    def __getitem__(self, at: int | slice) -> ShardRef | list[ShardRef]:
        wanted = range(len(self))[at]
        numbers = [wanted] if isinstance(wanted, int) else list(wanted)
        found: dict[int, ShardRef] = {}
        for part, count in zip(self.parts(), self.group_rows, strict=True):
            inside = [number for number in numbers if part.first <= number < part.first + count]
            shards = part.shards() if inside else []
            found |= {number: ref_of(shards[number - part.first]) for number in inside}
        return found[wanted] if isinstance(wanted, int) else [found[number] for number in numbers]


def ref_of(shard: Shard) -> ShardRef:
    """Returns a shard as the stages after scoring take it."""
    return ShardRef(shard.name, shard.uri, shard.size)


def planned(root: str, shards: Sequence[Shard]) -> Pool:
    """Returns the pool of which ``write`` is going to write the table."""
    stamp = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    names = digest_of(shard.name for shard in shards)
    rows = [min(GROUP, len(shards) - start) for start in range(0, len(shards), GROUP)]
    return Pool(filesystem.join(root, NAME), stamp, tuple(rows), f"{names:064x}")


def write(root: str, shards: Sequence[Shard]) -> None:
    """Writes the table of a pool, whole or not at all, and replaces an older one."""
    ordered = sorted(shards)
    pool = planned(root, ordered)
    with (
        filesystem.create_atomic(pool.uri) as file,
        columns.parquet_writer(file.write, _SCHEMA, pool.stamp, names=pool.names_digest) as writer,
    ):
        for start in range(0, len(ordered), GROUP):
            some = zip(*ordered[start : start + GROUP], strict=True)
            writer.write_table(pa.table([list(values) for values in some], schema=_SCHEMA))


def read(root: str) -> Pool | None:
    """Opens the table of the pool of an output folder; None where there is none.

    Cost: its footer is read.

    Raises:
      DamagedError: it is not as it was written.
      NoBucketError: there is no bucket to hold one.
    """
    uri = filesystem.join(root, NAME)
    try:
        with filesystem.open_read(uri) as file, stored_files.as_written(uri):
            reader = ParquetReader(file)
            facts = columns.facts_of(reader.schema)
            return Pool(uri, facts.get("stamp", ""), tuple(reader.group_rows()), facts.get("names", ""))
    except DamagedError:
        raise
    except (FileNotFoundError, MissingError):
        next(filesystem.children(root), None)  # raises where the bucket itself is missing
        return None
