"""What every job's configuration has: fields that are flags, and their check. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


def flag(default: Any, text: str, **more: Any) -> Any:
    """Returns a dataclass field that is also a command line flag; ``text`` says what, unit and range.

    ``operational=True``: it says where or how fast, not what. ``choices=``: all values there are.
    """
    return dataclasses.field(default=default, metadata={"help": text, **more})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """What a job can be told."""

    def problems(self) -> list[str]:
        """Returns what is wrong with the values, one line each: flag, value, what is allowed, hint."""
        return []

    def dated(self, today: datetime.date) -> Self:
        """Returns the values with days that are named, as yesterday, in place of their names."""
        return self

    def placed(self) -> Self:
        """Returns the values as the job is to use them, once nothing is wrong with them."""
        return self

    def recorded(self) -> dict[str, Any]:
        """Returns the values that determine the output, as JSON values: all but those about where and how fast.

        Repeated flags are sorted, since their order says nothing.
        """
        skip = {f.name for f in dataclasses.fields(self) if f.metadata.get("operational")} | {"output"}
        values = dataclasses.asdict(self)
        return {n: sorted(v) if isinstance(v, tuple) else v for n, v in sorted(values.items()) if n not in skip}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Flags):
    """Where a job works; every job that knows a pool has it."""

    output: str = flag("", "folder that holds everything Winnow writes: local, gs:// or s3:// (required)")

    def problems(self) -> list[str]:
        return [] if self.output else ["--output is missing; name the folder that Winnow writes to"]
