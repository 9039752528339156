"""The samples of a pool as one table: columns of every set and the decisions of a selection, shard after shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from transforms.lib.arrays import numpy_type
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import AppendOnly, ParquetWriter
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem

SHARD = "shard"
"""Name of the column that has the name of each sample's shard."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Columns of the samples of a pool, in the order of the pool; rejected samples have rows, too.

    Attributes:
      store: of the columns and of the decisions.
      refs: the shards.
      where: name of a column in the table -> (column set, column); ``SHARD`` -> itself, twice.
      schema: of the table.
    """

    store: Store
    refs: Sequence[ShardRef]
    where: Mapping[str, tuple[str, str]]
    schema: pa.Schema

    def tables(self) -> Iterator[pa.Table]:
        """Yields one table per shard, of which one is held at a time.

        Raises:
          InputError: the column sets of a shard are not row-aligned, or its decisions are of another selection.
        """
        for ref in self.refs:
            with self.store.held() as store:
                yield self._table(store, ref.name)

    def batches(self) -> pa.RecordBatchReader:
        """Returns the same as a stream of record batches, which hold rows of one shard each."""
        batches = (batch for table in self.tables() for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def table(self) -> pa.Table:
        """Returns the whole as one table in memory."""
        return self.batches().read_all()

    def array(self) -> NDArray[Any]:
        """Returns the first column as one array ``[n]``, or ``[n, dim]`` of embeddings."""
        (name, *_) = self.schema.names
        return np.concatenate([columns.to_numpy(name, table[name]) for table in self.tables()])

    def _table(self, store: Store, shard: str) -> pa.Table:
        by_set: dict[str, dict[str, None]] = {columns.INDEX: {"status": None}}  # which has the number of rows
        for owner, column in self.where.values():
            if owner != SHARD:
                by_set.setdefault(owner, {})[column] = None
        read = {owner: store.read(owner, shard, list(names)) for owner, names in by_set.items()}
        rows = len(read[columns.INDEX])
        if any(len(table) != rows for table in read.values()):
            raise InputError(f"the column sets of shard {shard} differ in length; score it again")
        arrays = []
        for field in self.schema:
            owner, column = self.where[field.name]
            values = pa.array([shard]).take(np.zeros(rows, np.int64)) if owner == SHARD else read[owner][column]
            arrays.append(values.cast(field.type))
        return pa.Table.from_arrays(arrays, schema=self.schema)


class Tables(Protocol):
    """A table that comes part by part."""

    @property
    def schema(self) -> pa.Schema:
        """The schema of the table."""

    def tables(self) -> Iterator[pa.Table]:
        """Yields its parts, of which one is held at a time."""


def write_parquet(samples: Tables, uri: str) -> int:
    """Writes samples as a Parquet file with a row group per shard; returns how many."""
    written = 0
    with filesystem.create_atomic(uri) as file, ParquetWriter(file.write, samples.schema, compression="zstd") as writer:
        for table in samples.tables():
            writer.write_table(table)
            written += len(table)
    return written


def write_csv(samples: Tables, uri: str) -> int:
    """Writes samples as text with a line of names; returns how many samples."""
    written = 0
    with filesystem.create_atomic(uri) as file, csv.CSVWriter(AppendOnly(file.write), samples.schema) as writer:
        for table in samples.tables():
            writer.write_table(table)
            written += len(table)
    return written


def write_npy(samples: Samples, uri: str) -> int:
    """Writes the one column of samples as a NumPy file, ``[n]`` or ``[n, dim]``; returns how many samples.

    Embeddings, which are stored as float16, become float32, which faiss wants.
    """
    rows = sum(len(samples.store.valid(ref.name)) for ref in samples.refs)
    (field,) = samples.schema
    embeddings = pa.types.is_fixed_size_list(field.type)
    kind = np.dtype(np.float32 if embeddings else numpy_type(field.type))
    shape = (rows, field.type.list_size) if embeddings else (rows,)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    with filesystem.create_atomic(uri) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for table in samples.tables():
            file.write(columns.to_numpy(field.name, table[field.name]).astype(kind).tobytes())
    return rows
