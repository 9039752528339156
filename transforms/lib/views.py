"""Views: a column set's file that has no rows of its own and says in which other Parquet file they are.

What somebody else published as Parquet is read where it lies instead of being copied. A view has the schema of its
column set; a column that the other file lacks has one value in every row: ``ok`` as the status, else ``""`` or 0.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.lib import columns, stamps
from transforms.lib.errors import InputError

FACT = "view"
_FILLED: dict[str, Any] = {"status": columns.OK}


@dataclasses.dataclass(frozen=True)
class View:
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
        """Returns the columns of the other file that ``names``, columns of the set, are made of."""
        return list(dict.fromkeys(self.columns[name] for name in names if name in self.columns))


def note(view: View) -> str:
    """Returns a view as text, the fact that ``of`` reads."""
    return stamps.canonical(dataclasses.asdict(view))


def of(schema: pa.Schema) -> View | None:
    """Returns the view that a file is, by the schema that it was stored with; None for one with rows of its own."""
    text = (schema.metadata or {}).get(f"winnow.{FACT}".encode())
    return None if text is None else View(**json.loads(text))


def read(file: BinaryIO | None, view: View, schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    """Reads columns of a view.

    Args:
      file: the other file; not needed where ``view.sources(names)`` is empty.
      view: what to read.
      schema: of the column set.
      names: columns of the set.

    Returns:
      the columns, typed as in ``schema``; a missing value is ``""``, 0 or NaN where the schema allows none.

    Raises:
      InputError: the other file is not the one that was imported.
    """
    source = None
    if file is not None:
        size = file.seek(0, 2)
        file.seek(0)
        if size != view.size:
            raise InputError(f"{view.uri} changed since it was imported; run `winnow import-datacomp` again")
        source = pq.ParquetFile(file).read(view.sources(names))
    fields = [schema.field(name) for name in names]
    arrays = [
        _constant(field, view.rows) if field.name not in view.columns or source is None
        else conform(source[view.columns[field.name]], field)
        for field in fields
    ]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _constant(field: pa.Field, rows: int) -> pa.Array:
    empty: Any = "" if pa.types.is_string(field.type) else 0
    return pa.repeat(pa.scalar(_FILLED.get(field.name, empty), field.type), rows)


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
