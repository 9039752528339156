"""Flags of ``winnow select``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import BasisConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectConfig(BasisConfig):
    """Flags of ``select``."""

    recipe: str = flag("dfn", "name of a recipe (`winnow recipes` lists them) or path of a .yaml file")
    keep_fraction: float | None = flag(None, "share to keep, in (0, 1]; replaces the recipe's top_fraction")
    set: tuple[str, ...] = flag((), "another parameter of the recipe, STEP.PARAMETER=VALUE; may be repeated")
    seed: int = flag(0, "of every draw and tie; equal seeds give equal bytes")
    max_reject_fraction: float = flag(0.01, "fail when a larger share of the samples is rejected, in [0, 1]")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.keep_fraction is not None and not 0 < self.keep_fraction <= 1:
            found.append(f"--keep_fraction must be in (0, 1], got {self.keep_fraction}; 0.15 keeps the best 15 %")
        if not 0 <= self.max_reject_fraction <= 1:
            found.append(f"--max_reject_fraction must be in [0, 1], got {self.max_reject_fraction}")
        found += [
            f"--set must be STEP.PARAMETER=VALUE, got {text!r}"
            for text in self.set
            if "=" not in text or "." not in text
        ]
        return found
