"""Flags of the jobs that import what other tools made. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig

DATACOMP_SETS = ("clip_b32", "clip_l14")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportConfig(PoolConfig):
    """Flags of ``import-scores``."""

    input: tuple[str, ...] = flag(
        (), "table of scores, .parquet or .csv with a header; a glob; may be repeated (required)"
    )
    by: str = flag("uid", "what names a sample, and the column of the table that has it: uid or key")
    name: str = flag("", "name of the column set to write (required)")
    columns: tuple[str, ...] = flag((), "column of numbers to import; may be repeated; default: all of them")
    min_coverage: float = flag(1.0, "fail when a smaller share of the readable samples has all values, in [0, 1]")

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the tables, for example --input scores.parquet")
        if self.by not in ("uid", "key"):
            found.append(f"--by must be uid or key, got {self.by!r}")
        if not self.name:
            found.append("--name is missing; it names the column set")
        elif not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            found.append(f"--name must be letters, digits, _ and -, got {self.name!r}; it names the column set")
        if not 0 <= self.min_coverage <= 1:
            found.append(f"--min_coverage must be in [0, 1], got {self.min_coverage}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetadataConfig(PoolConfig):
    """Flags of ``import-datacomp``."""

    input: tuple[str, ...] = flag(
        (), "folder of DataComp's metadata (.parquet, and .npz beside them), or a glob; may be repeated (required)"
    )
    embeddings: str = flag(
        "", "column sets to make of the .npz files: clip_b32,clip_l14 or one of them, or none; default: both if there"
    )
    copy: bool = flag(
        False, "copy the columns, so that the metadata may be deleted; default: they are read where they lie"
    )

    def wanted(self) -> tuple[str, ...]:
        """Returns the column sets that ``--embeddings`` names, each once; empty for none and for the default."""
        names = [name.strip() for name in self.embeddings.split(",")]
        return tuple(dict.fromkeys(name for name in names if name not in ("", "none")))

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the folder of DataComp's metadata")
        unknown = [name for name in self.wanted() if name not in DATACOMP_SETS]
        if unknown:
            found.append(f"--embeddings {','.join(unknown)} is unknown; give {', '.join(DATACOMP_SETS)} or none")
        return found
