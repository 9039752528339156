"""What the jobs on subset files can be told. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Flags, flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(PoolConfig):
    """Flags of ``export-subset``."""

    to: str = flag("", "subset file to write, .npy (required)")
    where: str = flag(
        "kept", "which uids: kept, one a copy; dropped, by any step; rejected; or the label of the step that dropped"
    )

    def problems(self) -> list[str]:
        return [*super().problems(), *([] if self.to else ["--to is missing; name the .npy file to write"])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportSubsetConfig(Flags):
    """Flags of ``import-subset``."""

    input: str = flag(
        "",
        "list of uids: .txt, one a line; .parquet, column uid; or a subset file, with the .npy header or without "
        "(required)",
    )
    to: str = flag("", "subset file to write, .npy (required)")
    sort: bool = flag(False, "sort lists that are not sorted; otherwise they are refused")
    union: tuple[str, ...] = flag((), "list to add: each uid as often as where it is most often; may be repeated")
    intersect: tuple[str, ...] = flag((), "list of the uids that stay, with all their copies; may be repeated")
    subtract: tuple[str, ...] = flag((), "list of the uids that go, with all their copies; may be repeated")

    def problems(self) -> list[str]:
        missing = {"input": "name the list of uids", "to": "name the .npy file to write"}
        return [f"--{name} is missing; {hint}" for name, hint in missing.items() if not getattr(self, name)]
