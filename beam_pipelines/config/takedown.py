"""Flags of ``winnow takedown``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from beam_pipelines.config.base import flag
from beam_pipelines.config.block import BlockConfig

if TYPE_CHECKING:
    from typing import Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class TakedownConfig(BlockConfig):
    """Flags of ``takedown``."""

    output: str = flag("", "folder to take samples out of: local, gs:// or s3://; or the first word without a flag")
    folder: tuple[str, ...] = flag((), "the same as --output", positional=True)
    uids: tuple[str, ...] = flag(
        (), "file of uids to take down, one per line in any form; or .csv, .parquet or .npy; may be repeated"
    )
    reason: str = flag("", "why, for the record, such as the number of a request; it must not name what is removed")
    resume: bool = flag(False, "finish a takedown that was interrupted; needs no list")

    def problems(self) -> list[str]:
        problems = super().problems()
        if len(self.folder) + bool(self.output) != 1:
            problems.append("name one output folder, for example `winnow takedown OUT --uids FILE --reason TEXT`")
        if self.resume and (self.uids or self.block_list):
            problems.append("--resume finishes what was begun and takes no list; leave --uids and --block_list out")
        if not self.resume and not (self.uids or self.block_list):
            problems.append(
                "--uids is missing; name a file of uids, or give --block_list and a file of hosts or images"
            )
        if not self.resume and not self.reason.strip():
            problems.append("--reason is missing; say in a few words why the samples go, for the record")
        return problems

    def placed(self) -> Self:
        moved = dataclasses.replace(self, output=self.folder[0], folder=()) if self.folder else self
        return super(TakedownConfig, moved).placed()
