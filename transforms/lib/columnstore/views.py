"""Views: a column set's file that has no rows of its own and says in which other Parquet file they are.

What somebody else published as Parquet is read where it lies instead of being copied. A view has the schema of its
column set; a column that the other file lacks has one value in every row: ``ok`` as the status, else ``""`` or 0.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import ParquetReader

FACT = "view"
_FILLED: dict[str, Any] = {"status": columns.OK}


@dataclasses.dataclass(frozen=True)
class ColumnView:
    """Where the rows of a column set are.

    Attributes:
      uri: address of the Parquet file that has them.
      size: its bytes, by which a file that was replaced is recognised.
      rows: it has.
      columns: column of the set -> column of that file.
    """

    uri: str
    size: int
    rows: int
    columns: Mapping[str, str]

    def sources(self, names: Sequence[str]) -> list[str]:
        """Returns the columns of the other file that ``names``, columns of the set, are read from."""
        return list(dict.fromkeys(self.columns[name] for name in names if name in self.columns))


def note(view: ColumnView) -> str:
    """Returns a view as text, which ``of`` reads."""
    return stamps.canonical(dataclasses.asdict(view))


def of(schema: pa.Schema) -> ColumnView | None:
    """Returns the view that a file is, by the schema that it was stored with; None for one with rows of its own.

    Raises:
      ArrowInvalid: what says where the rows are is damaged.
    """
    text = (schema.metadata or {}).get(f"winnow.{FACT}".encode())
    try:
        return None if text is None else ColumnView(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise pa.ArrowInvalid("what says where its rows are is damaged") from None


class ColumnFile:
    """A Parquet file of the column store with its rows, whether they are its own or it is a view.

    Args:
      own: the file.
      open_read: opens the file that a view is of, for as long as this object is used.
    """

    def __init__(self, own: ParquetReader, open_read: Callable[[str], BinaryIO]) -> None:
        self.schema: pa.Schema = own.schema
        self.seal = own.seal
        self._view = of(self.schema)
        self._open = open_read
        self._file: ParquetReader | None = own if self._view is None else None

    def group_rows(self) -> list[int]:
        """Returns how many rows each row group has."""
        return self._opened().group_rows()

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self._opened().rows if self._view is None else self._view.rows

    def only(self, name: str) -> Any:
        """Returns the one value that all rows of a column of text have, where the footer tells; else None."""
        if self._view is not None:
            return None if name in self._view.columns else _value(self.schema.field(name))
        footer = self._opened().footer
        at = footer.schema.names.index(name)
        statistics = [footer.row_group(group).column(at).statistics for group in range(footer.num_row_groups)]
        if not all(one is not None and one.has_min_max and not one.null_count for one in statistics):
            return None
        values = {value for one in statistics for value in (one.min, one.max)}
        return values.pop() if len(values) == 1 else None

    def read(self, names: Sequence[str], group: int | None = None) -> pa.Table:
        """Reads columns, of one row group or of all.

        Returns:
          the columns, typed as in ``schema``; of a view a missing value is ``""``, 0 or NaN where that allows none.

        Raises:
          InputError: the file that a view is of is not the one that was imported.
        """
        if self._view is None:
            return self._opened().read(names, group)
        sources = self._view.sources(names)
        table = self._opened().read(sources, group) if sources else None
        rows = self._view.rows if group is None else self.group_rows()[group]
        fields = [self.schema.field(name) for name in names]
        arrays = [self._array(field, table, rows) for field in fields]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _array(self, field: pa.Field, table: pa.Table | None, rows: int) -> pa.Array | pa.ChunkedArray:
        source = self._view.columns.get(field.name) if self._view else None
        return _constant(field, rows) if table is None or source is None else conform(table[source], field)

    def _opened(self) -> ParquetReader:
        if self._file is None:
            assert self._view is not None
            file = self._open(self._view.uri)
            size = file.seek(0, 2)
            file.seek(0)
            if size != self._view.size:
                raise InputError(f"{self._view.uri} changed since it was imported; run `winnow import-datacomp` again")
            self._file = ParquetReader(file)
        return self._file


def _constant(field: pa.Field, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(_value(field), field.type), rows)


def _value(field: pa.Field) -> Any:
    return _FILLED.get(field.name, "" if pa.types.is_string(field.type) else 0)


def conform(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Returns a column as ``field`` has it: its type, and no nulls where it allows none.

    A null becomes ``""``, 0 or NaN; so does, where whole numbers are expected, anything that is not finite.
    """
    if not field.nullable and pa.types.is_integer(field.type) and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    if column.type != field.type:
        column = pc.cast(column, field.type)
    if not field.nullable and column.null_count:
        empty: Any = "" if pa.types.is_string(field.type) else np.nan if pa.types.is_floating(field.type) else 0
        column = pc.fill_null(column, pa.scalar(empty, field.type))
    return column
