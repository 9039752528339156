"""Flags of ``winnow import-scores`` and ``winnow import-datacomp``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import SET_NAME, flag, names_in
from beam_pipelines.config.crawl import PoolConfig

DATACOMP_SETS = ("clip_b32", "clip_l14")
"""Column sets of embeddings that DataComp publishes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportConfig(PoolConfig):
    """Flags of ``import-scores``."""

    input: tuple[str, ...] = flag(
        (),
        "table of scores, .parquet or .csv with a header; a glob; may be repeated",
        required="name the tables, for example --input scores.parquet",
    )
    by: str = flag("uid", "what names a sample, and the column of the table that has it", choices=("uid", "key"))
    name: str = flag(
        "",
        "name of the column set to write",
        form=SET_NAME,
        required="it names the column set",
        hint="it names the column set",
    )
    columns: tuple[str, ...] = flag(
        (), "columns of numbers to import, separated by commas; may be repeated; default: all of them"
    )
    min_coverage: float = flag(
        1.0, "smallest share of the readable samples that have all values; the job fails on less", at_least=0, at_most=1
    )

    def wanted(self) -> tuple[str, ...]:
        """Returns the columns that ``--columns`` names, each once."""
        return names_in(self.columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetadataConfig(PoolConfig):
    """Flags of ``import-datacomp``."""

    input: tuple[str, ...] = flag(
        (),
        "folder of DataComp's metadata (.parquet, and .npz beside them), or a glob; may be repeated",
        required="name the folder of DataComp's metadata",
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
        problems = super().problems()
        unknown = [name for name in self.wanted() if name not in DATACOMP_SETS]
        if unknown:
            problems.append(f"--embeddings {','.join(unknown)} is unknown; give {', '.join(DATACOMP_SETS)} or none")
        return problems
