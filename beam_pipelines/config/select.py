"""Flags of ``winnow select``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Form, flag
from beam_pipelines.config.block import BlockConfig
from beam_pipelines.config.crawl import BasisConfig
from beam_pipelines.config.limits import LimitsConfig
from beam_pipelines.config.report import ReportConfig
from beam_pipelines.config.selection import CURRENT, NAME


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectConfig(BlockConfig, BasisConfig, LimitsConfig, ReportConfig):
    """Flags of ``select``."""

    recipe: str = flag("dfn", "name of a recipe (`winnow recipes` lists them) or path of a .yaml file")
    keep_fraction: float | None = flag(
        None,
        "share to keep; replaces the recipe's top_fraction",
        above=0,
        at_most=1,
        hint="0.15 keeps the best 15 %",
    )
    set: tuple[str, ...] = flag(
        (),
        "another parameter of the recipe, STEP.PARAMETER=VALUE; may be repeated",
        form=Form(r"(?s)(?=.*\.).*=.*", "STEP.PARAMETER=VALUE"),
    )
    seed: int = flag(0, "seed of every draw and tie; equal seeds give equal bytes", at_least=0)
    name: str = flag(
        CURRENT,
        "name of the selection; selections of other names stay beside it, and --selection of later jobs chooses one",
        form=NAME,
        operational=True,
    )

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.crawl_id and self.name != CURRENT:
            problems.append(f"--name {self.name} is not for a crawl, which has one selection; leave it out")
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectJobConfig(SelectConfig):
    """Flags of ``select`` that ``curate`` has not."""

    make_columns: bool = flag(
        False,
        "first make the columns that the recipe reads and the pool lacks, by score, annotate, cluster and dedup with "
        "their usual flags",
        operational=True,
    )
