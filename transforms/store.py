"""The column store on a file system: where files lie, when they are finished, how a block is read."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from transforms import storage
from transforms.lib import columns, stamps
from transforms.lib.steps import Block
from transforms.rows import FeatureRef, FileRow


@dataclasses.dataclass(frozen=True)
class Store:
    """Column sets and decisions below one output folder.

    Attributes:
      root: the output folder of a job.
    """

    root: str

    def path(self, column_set: str, shard: str) -> str:
        """Returns the path, below the root, of a column set's file of one shard."""
        folder = "decisions" if column_set == "decisions" else f"columns/{column_set}"
        return f"{folder}/{shard}.parquet"

    def uri(self, column_set: str, shard: str) -> str:
        """Returns the address of a column set's file of one shard."""
        return storage.join(self.root, self.path(column_set, shard))

    def facts(self, column_set: str, shard: str) -> dict[str, str]:
        """Returns a file's stamp and facts; empty when there is no such file, or it is no Parquet file."""
        uri = self.uri(column_set, shard)
        if not storage.exists(uri):
            return {}
        with storage.open_read(uri) as file:
            try:
                return columns.facts_of(file)
            except pa.ArrowInvalid:  # not written by us, or cut short outside our control: write it again
                return {}

    def write(self, column_set: str, shard: str, table: pa.Table, stamp: str, **facts: str) -> FileRow:
        """Writes one file, whole or not at all."""
        data = columns.to_parquet(table, stamp, **facts)
        storage.write_atomic(self.uri(column_set, shard), data)
        return FileRow(self.path(column_set, shard), len(data), stamps.sha256(data))

    def row_of(self, column_set: str, shard: str) -> FileRow:
        """Returns the row of a file that is already there."""
        data = storage.read_bytes(self.uri(column_set, shard))
        return FileRow(self.path(column_set, shard), len(data), stamps.sha256(data))

    def schema(self, column_set: str, shard: str) -> pa.Schema:
        """Returns the schema of one file, reading the footer only."""
        with storage.open_read(self.uri(column_set, shard)) as file:
            return pq.read_schema(file)

    def read(self, column_set: str, shard: str, names: Sequence[str] | None = None) -> pa.Table:
        """Reads columns of one file, all of them when ``names`` is None."""
        with storage.open_read(self.uri(column_set, shard)) as file:
            return pq.read_table(io.BytesIO(file.read()) if names is None else file, columns=names)

    def rows(self, column_set: str, shard: str, names: Sequence[str], rows: Sequence[int]) -> list[dict[str, Any]]:
        """Reads some rows of one file, in the order given, as Python values; only their row groups are read."""
        found: dict[int, dict[str, Any]] = {}
        with storage.open_read(self.uri(column_set, shard)) as file:
            stored = pq.ParquetFile(file)
            start = 0
            for group in range(stored.num_row_groups):
                stop = start + stored.metadata.row_group(group).num_rows
                wanted = [row for row in rows if start <= row < stop]
                if wanted:
                    table = stored.read_row_group(group, columns=list(names))
                    found |= zip(wanted, table.take([row - start for row in wanted]).to_pylist(), strict=True)
                start = stop
        return [found[row] for row in rows]

    def valid(self, shard: str) -> NDArray[np.bool_]:
        """Returns bool ``[n]``: the samples of a shard that were not rejected when it was indexed."""
        status = self.read(columns.INDEX, shard, ["status"])["status"]
        valid: NDArray[np.bool_] = pc.equal(status, columns.OK).to_numpy()
        return valid

    def arrays(
        self, shard: str, wanted: Mapping[str, tuple[str, str]], if_float: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Reads columns of one shard as arrays.

        Args:
          shard: its name.
          wanted: name -> (column set, column).
          if_float: the same, of columns that are read only where they hold one float a row.

        Returns:
          name -> array ``[n]`` of its type (of str for text, ``[n, 2]`` for uid, ``[n, dim]`` for embeddings).

        Raises:
          ValueError: the column sets are not row-aligned.
        """
        by_set: dict[str, dict[str, str]] = {}
        for name, (owner, column) in {**(if_float or {}), **wanted}.items():
            by_set.setdefault(owner, {})[name] = column
        found: dict[str, NDArray[Any]] = {}
        for owner, names in by_set.items():
            with storage.open_read(self.uri(owner, shard)) as file:
                stored = pq.ParquetFile(file)
                schema = stored.schema_arrow
                read = {n: c for n, c in names.items() if n in wanted or pa.types.is_floating(schema.field(c).type)}
                table = stored.read(list(dict.fromkeys(read.values())))
            found.update({name: columns.to_numpy(column, table[column]) for name, column in read.items()})
        if len({len(values) for values in found.values()}) > 1:
            raise ValueError(f"the column sets of shard {shard} differ in length; score it again")
        return found


@dataclasses.dataclass(frozen=True)
class BlockReader:
    """Reads the blocks that a recipe works on.

    Attributes:
      store: where the columns are.
      where: every column that the recipe reads -> (column set, column).
      files: ``label.parameter`` -> address of the files that the recipe's steps name; fetched once a machine.
    """

    store: Store
    where: Mapping[str, tuple[str, str]]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def block(self, ref: FeatureRef, names: Iterable[str]) -> Block:
        """Returns a block with the columns ``names``.

        A row is valid when its status is ok and every float column of the whole recipe has a finite value, so that
        all rounds of all steps count the same rows. Text, whole numbers and embeddings are read only where asked for.
        """
        wanted = {name: self.where[name] for name in names}
        others = {name: place for name, place in self.where.items() if name != "uid"}
        arrays = self.store.arrays(ref.name, wanted, others)
        valid = self.store.valid(ref.name)
        if any(len(values) != len(valid) for values in arrays.values()):
            raise ValueError(f"the column sets of shard {ref.name} differ in length; score it again")
        for values in arrays.values():
            if values.dtype.kind == "f" and values.ndim == 1:
                valid = valid & np.isfinite(values)
        files = {name: storage.fetch(uri) for name, uri in self.files.items()}
        return Block(ref.name, arrays, valid, valid.astype(np.uint16), files)
