"""Take samples out of one output shard: its other samples are written again as they lie there; no input is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import stamps
from transforms.lib.arrays import Bool, Int64
from transforms.lib.errors import DamagedError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.reshard import held, parquet_format, shard_formats
from transforms.lib.reshard.shard_format import Members
from transforms.outputs import file_rows, ledger, side_files
from transforms.storage import filesystem


class CutShards(NamedTuple):
    """Cuts samples out of output shards; called again, it finds its work done.

    Attributes:
      root: the output folder.
      form: of the shards, one of ``shard_formats.NAMES``.
      takedown: ID of the takedown.
      rows: input shard -> int64, rows of its samples that go.
    """

    root: str
    form: str
    takedown: str
    rows: dict[str, Int64]

    def path(self, number: int) -> str:
        """Returns the path of an output shard below the root."""
        return f"shards/{number:08d}{shard_formats.format_of(self.form).suffix}"

    def goes(self, entries: pa.Table) -> Bool:
        """Returns bool ``[n]``: which entries of a ledger are about samples that go."""
        shards = entries["shard"]
        known = pc.is_in(shards, value_set=pa.array(sorted(self.rows), pa.string())).to_numpy()
        going = np.zeros(len(entries), np.bool_)
        rows = entries["row"].to_numpy()
        for shard in pc.unique(shards.filter(pa.array(known))).to_pylist():
            going |= pc.equal(shards, shard).to_numpy() & np.isin(rows, self.rows[shard])
        return going

    def holds(self, number: int) -> bool:
        """Returns whether an output shard holds samples that go, by its ledger."""
        return bool(self.goes(ledger.read(self.root, number)).any())

    def __call__(self, number: int) -> None:
        """Writes the shard, its ledger and its statistics anew, in this order."""
        stats_path = side_files.stats_path(number)
        stats = json.loads(filesystem.read_bytes(filesystem.join(self.root, stats_path)))
        if stats.get("takedown") == self.takedown:
            return
        entries = ledger.read(self.root, number)
        going = self.goes(entries)
        left = entries.filter(pa.array(~going))
        kept = set(left["key"].to_pylist())
        counting, file = self._cut(number, kept, {*entries["key"].to_pylist()})
        pickles = {name: count for name, count in stats["counts"].items() if name.startswith("pickle ")}
        stamp = stamps.stamp(before=stats["stamp"], takedown=self.takedown)
        row = ledger.write(self.root, number, left.combine_chunks(), stamp)
        stats |= {"successes": len(left), "bytes": file.size, "sha256": file.sha256, "stamp": stamp}
        stats |= {"blurred": min(stats["blurred"], len(left)), "counts": dict(counting.counts()) | pickles}
        stats |= {"ledger": row.sha256, "takedown": self.takedown}
        file_rows.write(self.root, stats_path, stamps.canonical(stats).encode())

    def _cut(self, number: int, kept: set[str], known: set[str]) -> tuple[held.Counting, filesystem.NewFile]:
        uri = filesystem.join(self.root, self.path(number))
        form = shard_formats.format_of(self.form)
        counting = held.Counting()
        with filesystem.open_read(uri) as old, filesystem.create_atomic(uri) as new:
            beside = _beside(old, kept) if form.holds_columns else None
            old.seek(0)

            def samples() -> Iterator[tuple[str, Members]]:
                for key, members in form.read(old):
                    if key not in known:
                        raise DamagedError(f"{uri} holds {key}, and its ledger does not; run `winnow reshard` again")
                    if key in kept:
                        counting.add(members)
                        yield key, members

            form.write(samples(), new, beside)
        return counting, new


def _beside(old: Any, kept: set[str]) -> pa.Table | None:
    """Returns the columns that a shard holds beside its samples, of those that stay; None where it holds none."""
    reader = ParquetReader(old)
    extra = [name for name in reader.schema.names if name not in parquet_format.SCHEMA.names]
    if not extra:
        return None
    table = reader.read(["key", *extra])
    stays: Sequence[bool] = [key in kept for key in table["key"].to_pylist()]
    return table.filter(pa.array(stays, pa.bool_())).select(extra)
