"""Flags of ``winnow verify``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.selection import SelectionConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig(SelectionConfig):
    """Flags of ``verify``."""

    compare_input: bool = flag(True, "also compare every written sample with the bytes of its input shard")
    accept_holes: bool = flag(
        False, "input shards with zeros where members should be are no problem: their loss is known and accepted"
    )
    report: str = flag(
        "", "address of the report; default: verify.json in --output, or in a temporary folder if that is read-only"
    )
