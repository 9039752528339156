"""Selection by a fixed bound."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import Step, Verdict


@dataclasses.dataclass(frozen=True)
class Threshold(Step):
    """Keeps samples whose column is at least a given value.

    Source: DataComp's ``clip_score --threshold`` (Gadre et al. 2023, section 4.1), for example 0.28 for LAION-2B.

    Attributes:
      column: a float column.
      at_least: lowest kept value, in the column's unit, inclusive; a float32 column is compared with it as a float32, a
        float64 column as it is.
    """

    kind = "threshold"

    column: str = "score"
    at_least: float = 0.0

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def apply(self, block: Block, state: Any) -> Verdict:
        values = block.columns[self.column]
        if values.dtype != np.float64:
            margin = values.astype(np.float32) - np.float32(self.at_least)
            return Verdict.of(block, margin >= 0, margin)
        return Verdict.of(block, values >= self.at_least, (values - self.at_least).astype(np.float32))

    def sentence(self) -> str:
        return f"Keep samples whose {self.column} is at least {self.at_least:g}."

    def facts(self, state: Any) -> dict[str, float | int | str]:
        return {"threshold": float(np.float32(self.at_least))}
