"""The ledger of an output: which sample of the pool each place of each output shard holds.

ledger/{:08d}.parquet    of one output shard: row i is about its i-th sample

With the index, which says what was rejected, why and at which byte, and with the decisions of a selection, which say
what was dropped, by which step and margin, it tells what became of every sample. ``ledger_table`` joins the three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib.arrays import Int64
from transforms.lib.columnstore import columns
from transforms.lib.errors import DamagedError, MissingError
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import file_rows, stored_files
from transforms.rows import FileRow
from transforms.storage import filesystem

FOLDER = "ledger"
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), False),  # of the sample in the output shard: ``uid-copy``
        pa.field("shard", pa.string(), False),  # of the input
        pa.field("row", pa.int64(), False),  # of the sample in the columns of that shard
    ]
)
_AGAIN = "run `winnow reshard` again, which writes it anew"
_AT_ONCE = 8  # files that are searched


def path_of(number: int) -> str:
    """Returns the path, below the output folder, of the ledger of an output shard."""
    return f"{FOLDER}/{number:08d}.parquet"


def table(keys: Sequence[str], shards: pa.Array, rows: Int64) -> pa.Table:
    """Returns a ledger of ``n`` samples: keys, names of input shards, int64 rows; all ``[n]``."""
    return pa.Table.from_arrays([pa.array(keys, pa.string()), shards, pa.array(rows, pa.int64())], schema=SCHEMA)


def write(root: str, number: int, entries: pa.Table, stamp: str) -> FileRow:
    """Writes the ledger of an output shard, whose stamp it has."""
    return file_rows.write(root, path_of(number), columns.to_parquet(entries, stamp, output=str(number)))


def read(root: str, number: int, names: Sequence[str] | None = None) -> pa.Table:
    """Reads the ledger of an output shard.

    Args:
      root: the output folder.
      number: of the output shard.
      names: of columns; None for all.

    Raises:
      MissingError: there is none.
      DamagedError: it is not as it was written, or about another shard.
    """
    uri = filesystem.join(root, path_of(number))
    try:
        with stored_files.as_written(uri), filesystem.open_read(uri) as file:
            reader = ParquetReader(file)
            if columns.facts_of(reader.schema).get("output") != str(number):
                raise pa.ArrowInvalid("it is about another output shard")
            return reader.read(names)
    except (MissingError, DamagedError) as error:
        raise type(error)(f"{str(error).partition(';')[0]}; {_AGAIN}") from None


def numbers(root: str) -> list[int]:
    """Returns the numbers of the output shards that have a ledger, in order."""
    names = (
        info.uri.rpartition("/")[2].partition(".")[0] for info in filesystem.children(filesystem.join(root, FOLDER))
    )
    return sorted(int(name) for name in names if name.isdecimal())


def places(root: str, wanted: dict[tuple[str, int], Any]) -> Iterator[tuple[tuple[str, int], int, int, str]]:
    """Yields where samples are in the output: (shard and row of the input), number, position and key in the output.

    Cost: reads shard and row of every ledger, some 3 bytes per copy of the output.

    Args:
      root: the output folder.
      wanted: its keys are shard and row of each sample.
    """
    if not wanted:
        return
    shards = pa.array(sorted({shard for shard, _ in wanted}), pa.string())
    rows = pa.array(sorted({row for _, row in wanted}), pa.int64())

    def found(number: int) -> list[tuple[tuple[str, int], int, int, str]]:
        entries = read(root, number)
        near = pc.and_(pc.is_in(entries["shard"], value_set=shards), pc.is_in(entries["row"], value_set=rows))
        hits = np.flatnonzero(near.to_numpy())
        some = entries.take(hits).to_pylist()
        at = (
            ((one["shard"], one["row"]), number, position, one["key"])
            for one, position in zip(some, hits.tolist(), strict=True)
        )
        return [place for place in at if place[0] in wanted]

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for some in threads.map(found, numbers(root)):
            yield from some
