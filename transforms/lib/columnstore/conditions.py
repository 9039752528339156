"""Conditions on columns, as a person writes them: a column, a comparison, and a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib.arrays import Bool
from transforms.lib.errors import ConfigError

COMPARISONS = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "contains": pc.match_substring,
}
"""Word -> function of a column and a value."""


class Condition(NamedTuple):
    """What a sample must be like.

    Attributes:
      column: its name.
      comparison: one of ``COMPARISONS``.
      value: as it was written.
    """

    column: str
    comparison: str
    value: str

    def check(self, schema: pa.Schema) -> None:
        """Checks the condition against the columns of a table.

        Raises:
          ConfigError: there is no such column or comparison, or the value is none of the column's type.
        """
        if self.column not in schema.names:
            raise ConfigError(f"there is no column {self.column!r}; choose one of the list")
        if self.comparison not in COMPARISONS:
            raise ConfigError(f"there is no comparison {self.comparison!r}; use one of {', '.join(COMPARISONS)}")
        self._value(schema.field(self.column).type)

    def holds(self, table: pa.Table) -> Bool:
        """Returns for which rows ``[n]`` of a table it holds; not where the column has no value."""
        column = table[self.column]
        value = self._value(column.type)
        if self.comparison == "contains":
            found = pc.match_substring(column.cast(pa.string()), str(value), ignore_case=True)
        else:
            found = COMPARISONS[self.comparison](column, value)
        return np.asarray(pc.fill_null(found, False).to_numpy(), bool)

    def _value(self, kind: pa.DataType) -> Any:
        if self.comparison == "contains" or pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self.value
        try:
            if pa.types.is_boolean(kind):
                return {"true": True, "false": False}[self.value.lower()]
            number = float(self.value)
            return pa.scalar(int(number) if pa.types.is_integer(kind) and number.is_integer() else number)
        except (ValueError, KeyError, OverflowError):
            raise ConfigError(f"{self.column} {self.comparison} {self.value!r}: {kind} is not written so") from None


def all_hold(conditions: Sequence[Condition], table: pa.Table) -> Bool:
    """Returns for which rows ``[n]`` of a table every condition holds."""
    held = np.ones(len(table), bool)
    for condition in conditions:
        held &= condition.holds(table)
    return held
