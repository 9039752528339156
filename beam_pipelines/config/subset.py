"""Flags of ``winnow export-subset`` and ``winnow import-subset``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Flags, flag
from beam_pipelines.config.selection import SelectionConfig

_TO = "name the .npy file to write"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(SelectionConfig):
    """Flags of ``export-subset``."""

    to: str = flag("", "subset file to write, .npy", required=_TO)
    where: str = flag(
        "kept", "which uids: kept, one per copy; dropped, by any step; rejected; or the label of the step that dropped"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportSubsetConfig(Flags):
    """Flags of ``import-subset``."""

    input: str = flag(
        "",
        "list of uids: .txt, one per line; .parquet, column uid; or a subset file, with the .npy header or without",
        required="name the list of uids",
    )
    to: str = flag("", "subset file to write, .npy", required=_TO)
    sort: bool = flag(False, "sort lists that are not sorted; otherwise they are refused")
    union: tuple[str, ...] = flag((), "list to add: each uid as often as where it is most often; may be repeated")
    intersect: tuple[str, ...] = flag((), "list of the uids that stay, with all their copies; may be repeated")
    subtract: tuple[str, ...] = flag((), "list of the uids that go, with all their copies; may be repeated")
