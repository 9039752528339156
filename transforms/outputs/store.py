"""The column store on a file system: where files lie, when they are finished, how a block is read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Bool
from transforms.lib.columnstore import columns, notices, views
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import DamagedError, InputError, MissingError
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import file_rows, selections, stored_files
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem

DECISIONS = "decisions"
"""What takes the place of a column set's name where the decisions of a selection are meant."""


@dataclasses.dataclass(frozen=True)
class Store:
    """Column sets and decisions below one output folder.

    Attributes:
      root: the output folder of a job.
      selection: ID of the selection whose decisions these are; empty for that of Winnow 0.1.
    """

    root: str
    selection: str = ""

    @contextlib.contextmanager
    def held(self) -> Iterator[Store]:
        """Yields this store with a memory: it opens each file once, and closes it when the block ends.

        For one thread's work on one shard, which asks the same file for its stamp, its status and its columns. Files
        that are written meanwhile by somebody else are seen as they were when they were opened.
        """
        with contextlib.ExitStack() as stack:
            yield _Held(self.root, self.selection, stack)

    def path(self, column_set: str, shard: str) -> str:
        """Returns the path, below the root, of a column set's file of one shard."""
        if column_set == DECISIONS:
            return selections.path_of(self.selection, f"{DECISIONS}/{shard}.parquet")
        return f"columns/{column_set}/{shard}.parquet"

    def uri(self, column_set: str, shard: str) -> str:
        """Returns the address of a column set's file of one shard."""
        return filesystem.join(self.root, self.path(column_set, shard))

    def facts(self, column_set: str, shard: str) -> dict[str, str]:
        """Returns a file's stamp and facts; empty when there is no such file, or it is no Parquet file."""
        try:
            with self._stored(column_set, shard) as stored:
                return columns.facts_of(stored.schema)
        except (MissingError, DamagedError):  # the last: whoever wrote it writes it again
            return {}

    def maker(self, column_set: str) -> str | None:
        """Returns the job that wrote a column set, as its files say; None where there is none.

        Returns:
          the fact ``job`` of the first file that can be read; "" where it has none, so that nobody knows.
        """
        folder = filesystem.join(self.root, f"columns/{column_set}")
        for info in filesystem.children(folder):
            shard = info.uri.rsplit(folder + "/", 1)[-1].removesuffix(".parquet")
            try:
                with self._open(column_set, shard) as stored:
                    return columns.facts_of(stored.schema).get("job", "")
            except (MissingError, FileNotFoundError, pa.ArrowInvalid):  # cut short: whoever wrote it writes it again
                continue
        return None

    def write(self, column_set: str, shard: str, table: pa.Table, stamp: str, **facts: str) -> FileRow:
        """Writes one file, whole or not at all; ``facts`` name the ``job``, so that no other job replaces the set."""
        self._forget(column_set, shard)
        data = columns.to_parquet(table, stamp, **stored_files.place(column_set, shard), **facts)
        return file_rows.write(self.root, self.path(column_set, shard), data)

    def write_pieces(
        self, column_set: str, shard: str, schema: pa.Schema, tables: Iterable[pa.Table], stamp: str, **facts: str
    ) -> FileRow:
        """Writes one file, whole or not at all, a row group for each of ``tables``, of which one is held at a time."""
        self._forget(column_set, shard)
        place = stored_files.place(column_set, shard)
        with (
            filesystem.create_atomic(self.uri(column_set, shard)) as file,
            columns.parquet_writer(file.write, schema, stamp, **place, **facts) as writer,
        ):
            for table in tables:
                writer.write_table(table)
        return file_rows.of_new(self.path(column_set, shard), file)

    def _forget(self, column_set: str, shard: str) -> None:
        """Called before a file is replaced."""

    def row_of(self, column_set: str, shard: str) -> FileRow:
        """Returns the row of a file that is already there."""
        return file_rows.of_stored(self.root, self.path(column_set, shard))

    def schema(self, column_set: str, shard: str) -> pa.Schema:
        """Returns the schema of one file, reading the footer only."""
        with self._stored(column_set, shard) as stored:
            return stored.schema

    def read(self, column_set: str, shard: str, names: Sequence[str] | None = None) -> pa.Table:
        """Reads columns of one file, all of them when ``names`` is None; those of a view from where they are.

        Raises:
          MissingError: there is no such file.
          DamagedError: it is damaged, was written again by another program, or belongs elsewhere.
          InputError: the file that a view reads is not the one that was imported.
        """
        with self._stored(column_set, shard) as stored:
            table = stored.read(stored.schema.names if names is None else names)
            decided = columns.facts_of(stored.schema).get("copies")
        if column_set == DECISIONS and decided and "copies" in table.column_names:  # Winnow 0.1 did not note them
            copies = pc.sum(table["copies"]).as_py() or 0
            if copies != int(decided):
                raise self._not_decided(shard, f"holds {copies} copies, and {decided} were decided")
        return table

    def _not_decided(self, shard: str, what: str) -> InputError:
        return InputError(f"{self.uri(DECISIONS, shard)} {what}; run `winnow select` again")

    def seals(self, shard: str, sets: Iterable[str]) -> dict[str, str]:
        """Returns column set -> seal of its file of one shard; empty for a file of Winnow 0.1."""
        found = {}
        for name in sets:
            with self._stored(name, shard) as stored:
                found[name] = stored.seal
        return found

    @contextlib.contextmanager
    def _stored(self, column_set: str, shard: str) -> Iterator[views.ColumnFile]:
        """Opens the file of a column set, which is the one that was written there; see ``_open``.

        Raises:
          MissingError: there is no such file.
          DamagedError: it is damaged, was written again by another program, or belongs elsewhere.
        """
        uri = self.uri(column_set, shard)
        with stored_files.as_written(uri), self._open(column_set, shard) as stored:
            stored_files.check_place(columns.facts_of(stored.schema), column_set, shard)
            yield stored

    @contextlib.contextmanager
    def _open(self, column_set: str, shard: str) -> Iterator[views.ColumnFile]:
        """Opens the file of a column set, and that which it is a view of once a column of that is read."""
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(filesystem.open_read(self.uri(column_set, shard)))
            stored = views.ColumnFile(ParquetReader(file), lambda uri: stack.enter_context(filesystem.open_read(uri)))
            if column_set == DECISIONS:
                named = columns.facts_of(stored.schema).get("selection", "")
                if named != self.selection:
                    raise self._not_decided(shard, f"is of selection {named or 'unknown'}, not of {self.selection}")
            yield stored

    def rows(self, column_set: str, shard: str, names: Sequence[str], rows: Sequence[int]) -> list[dict[str, Any]]:
        """Reads some rows of one file, in the order given, as Python values; only their row groups are read."""
        by_row: dict[int, dict[str, Any]] = {}
        with self._stored(column_set, shard) as stored:
            start = 0
            for group, count in enumerate(stored.group_rows()):
                wanted = [row for row in rows if start <= row < start + count]
                if wanted:
                    table = stored.read(names, group)
                    by_row |= zip(wanted, table.take([row - start for row in wanted]).to_pylist(), strict=True)
                start += count
        return [by_row[row] for row in rows]

    def groups(self, column_set: str, shard: str, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yields columns of one file, row group after row group."""
        with self._stored(column_set, shard) as stored:
            for group in range(len(stored.group_rows())):
                yield stored.read(names, group)

    def valid(self, shard: str) -> Bool:
        """Returns bool ``[n]``: the samples of a shard that were not rejected when it was indexed."""
        with self._stored(columns.INDEX, shard) as stored:
            if stored.only("status") == columns.OK:
                return np.ones(stored.rows, np.bool_)
            status = stored.read(["status"])["status"]
        valid: Bool = pc.equal(status, columns.OK).to_numpy()
        return valid

    def notices(self, shard: str) -> dict[str, int]:
        """Returns kind of notice -> samples of a shard; none for one that an earlier version of Winnow indexed."""
        with self._stored(columns.INDEX, shard) as stored:
            if "notices" not in stored.schema.names or stored.only("notices") == "":
                return {}
            return notices.count(stored.read(["notices"])["notices"])

    def arrays(
        self, shard: str, wanted: Mapping[str, tuple[str, str]], if_float: Mapping[str, tuple[str, str]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Reads columns of one shard as arrays.

        Args:
          shard: its name.
          wanted: name -> (column set, column).
          if_float: the same, of columns that are read only where they hold one float per row.

        Returns:
          name -> array ``[n]`` of its type (of str for text, ``[n, 2]`` for uid, ``[n, dim]`` for embeddings).

        Raises:
          ValueError: the column sets are not row-aligned.
        """
        by_set: dict[str, dict[str, str]] = {}
        for name, (owner, column) in {**(if_float or {}), **wanted}.items():
            by_set.setdefault(owner, {})[name] = column
        arrays: dict[str, NDArray[Any]] = {}
        for owner, names in by_set.items():
            with self._stored(owner, shard) as stored:
                table = stored.read(_chosen(names, wanted, stored.schema))
            for name, column in names.items():
                if column in table.column_names:
                    arrays[name] = columns.to_numpy(column, table[column])
        if len({len(values) for values in arrays.values()}) > 1:
            raise ValueError(f"the column sets of shard {shard} differ in length; score it again")
        return arrays


@dataclasses.dataclass(frozen=True)
class _Held(Store):
    """A store that keeps open what it has opened, until ``stack`` is closed."""

    stack: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)
    opened: dict[tuple[str, str], views.ColumnFile] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def held(self) -> Iterator[Store]:
        yield self

    @contextlib.contextmanager
    def _open(self, column_set: str, shard: str) -> Iterator[views.ColumnFile]:
        if (column_set, shard) not in self.opened:
            self.opened[column_set, shard] = self.stack.enter_context(super()._open(column_set, shard))
        yield self.opened[column_set, shard]

    def _forget(self, column_set: str, shard: str) -> None:
        self.opened.pop((column_set, shard), None)


def _chosen(names: Mapping[str, str], wanted: Mapping[str, Any], schema: pa.Schema) -> list[str]:
    """Returns the columns of a set to read, each once: those wanted, and of the others those of one float per row."""
    read = [c for n, c in names.items() if n in wanted or pa.types.is_floating(schema.field(c).type)]
    return list(dict.fromkeys(read))


@dataclasses.dataclass(frozen=True)
class BlockReader:
    """Reads the blocks that a recipe works on.

    Attributes:
      store: where the columns are.
      where: every column that the recipe reads -> (column set, column).
      files: ``label.parameter`` -> address of the files that the recipe's steps name; fetched once per machine.
    """

    store: Store
    where: Mapping[str, tuple[str, str]]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def of(self, store: Store) -> BlockReader:
        """Returns a reader of the same columns of a store that is held."""
        return dataclasses.replace(self, store=store)

    def block(self, ref: ShardRef, names: Iterable[str]) -> Block:
        """Returns a block with the columns ``names``.

        A row is valid when its status is ok and every float column of the whole recipe has a finite value, so that
        all rounds of all steps count the same rows; ``indexed`` are those whose status is ok, whatever their values.
        Text, whole numbers and embeddings are read only where they are named; where they are, a row whose embedding is
        zero, since its model could make nothing of the image, is not valid.
        """
        wanted = {name: self.where[name] for name in names}
        others = {name: place for name, place in self.where.items() if name != "uid"}
        with self.store.held() as store:
            arrays = store.arrays(ref.name, wanted, others)
            indexed = valid = store.valid(ref.name)
        if any(len(values) != len(valid) for values in arrays.values()):
            raise ValueError(f"the column sets of shard {ref.name} differ in length; score it again")
        for values in arrays.values():
            if values.dtype.kind == "f":
                valid = valid & (np.isfinite(values) if values.ndim == 1 else columns.embedded(values))
        files = {name: filesystem.fetch(uri) for name, uri in self.files.items()}
        return Block(ref.name, arrays, valid, valid.astype(np.uint16), files, indexed)
