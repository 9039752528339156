"""Rows of column sets that say nothing any more, because their samples were taken down; all other rows stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib.arrays import Bool
from transforms.lib.errors import Reason

_KEPT = ("offset", "length")  # of the index: the bytes of the input, for the byte account
_VALUES: dict[str, Any] = {"status": Reason.TAKEN_DOWN.value, "cluster": -1}


def blanked(table: pa.Table, rows: Bool) -> pa.Table:
    """Returns a column set whose rows ``[n]`` in ``rows`` hold nothing: "", 0, NaN, or a zero embedding.

    In the index their status is the reason ``taken_down``, and their byte range in the input stays.
    """
    mask = pa.array(rows)
    columns = [_column(field, table[field.name], mask) for field in table.schema]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _column(field: pa.Field, column: pa.ChunkedArray, mask: pa.BooleanArray) -> pa.ChunkedArray:
    if field.name in _KEPT:
        return column
    if pa.types.is_fixed_size_list(field.type):
        width = field.type.list_size
        flat = column.combine_chunks().flatten()
        cleared = np.repeat(mask.to_numpy(zero_copy_only=False), width)
        values = pc.if_else(pa.array(cleared), pa.scalar(0, flat.type), flat)
        return pa.chunked_array([pa.FixedSizeListArray.from_arrays(values, type=field.type)])
    return pc.if_else(mask, _nothing(field), column)


def _nothing(field: pa.Field) -> pa.Scalar:
    if field.name in _VALUES:
        return pa.scalar(_VALUES[field.name], field.type)
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        return pa.scalar("", field.type)
    if pa.types.is_floating(field.type):
        return pa.scalar(np.nan, field.type)
    if pa.types.is_boolean(field.type):
        return pa.scalar(False)
    return pa.scalar(0, field.type) if pa.types.is_integer(field.type) else pa.scalar(None, field.type)
