"""Selection by the duplicates that ``winnow dedup`` lists."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import NUMBER, TEXT, Step, Verdict


@dataclasses.dataclass(frozen=True)
class DropDuplicates(Step):
    """Drops samples that are copies of another one, which ``winnow dedup`` chose to survive.

    The survivor was chosen without a look at other steps: where an earlier step drops it, its copies go all the same.
    Put this step first, or choose survivors by the score that the other steps cut by.

    A column set of ``--chains released`` holds the greatest similarity to any sample before: it serves every smaller
    epsilon too, by ``above: 1 - epsilon``.

    The margin is ``above - similarity`` for a copy, infinite for any other sample.

    Source: Abbas et al. 2023, "SemDeDup", arXiv:2303.09540, section 3; DataComp (arXiv:2304.14108), appendix K.

    Attributes:
      column: the column set, such as ``dedup_exact``.
      above: copies less similar than this, or just as similar, stay; 0 drops every copy.
    """

    kind = "drop_duplicates"

    column: str = "dedup_exact"
    above: float = 0.0

    def faults(self) -> list[str]:
        problems = []
        if not self.column or "." in self.column:
            problems.append(f"{self.label}.column must be a column set such as dedup_exact, got {self.column!r}")
        if not 0 <= self.above < 1:
            problems.append(f"{self.label}.above must be in [0, 1), got {self.above}; 0 drops every copy")
        return problems

    def input_types(self) -> tuple[str, ...]:
        return (TEXT, NUMBER)

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.column}.duplicate_of", f"{self.column}.similarity")

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        copy, similarity = (block.columns[name] for name in self.inputs())
        margin = np.where(copy != "", np.float32(self.above) - similarity, np.float32(np.inf))
        return Verdict.of(block, margin >= 0, margin)

    def sentence(self) -> str:
        close = f" whose similarity to the original is above {self.above:g}" if self.above else ""
        return f"Drop the copies of other samples{close}, as listed in {self.column}."

    def hint(self, column: str) -> str:
        by = self.column.removeprefix("dedup_")
        return f"`winnow dedup --by {by}` adds it" if by != self.column else f"`winnow dedup --name {by}` adds it"
