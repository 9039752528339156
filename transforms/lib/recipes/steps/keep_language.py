"""Selection by the language of the caption."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import TEXT, Step, Verdict


@dataclasses.dataclass(frozen=True)
class KeepLanguage(Step):
    """Keeps samples whose language has a given label.

    The label alone decides, however unsure it is: DataComp takes the top-1 label of fastText's ``lid.176.bin`` for its
    baselines, and CLD3's without its test of reliability for laion2b. To ask for sureness too, put
    ``threshold: {column: language.probability, at_least: 0.5}`` behind it.

    The margin is 1 where the label is right and -1 where it is not.

    Source: DataComp (Gadre et al. 2023, arXiv:2304.14108, section 4.1); baselines/apply_filter.py.

    Attributes:
      column: the column of labels that ``winnow annotate`` adds: ``language.label`` (fastText) or ``cld3.label``.
      keep: the label that is kept, as the model writes it, such as ``en`` or ``zh``.
    """

    kind = "language"

    column: str = "language.label"
    keep: str = "en"

    def faults(self) -> list[str]:
        return [] if self.keep else [f"{self.label}.keep is missing; name a language label such as en"]

    def input_types(self) -> tuple[str, ...]:
        return (TEXT,)

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        inside = np.asarray(block.columns[self.column] == self.keep, bool)
        return Verdict.of(block, inside, np.where(inside, 1, -1))

    def sentence(self) -> str:
        return f"Keep samples whose {self.column} is {self.keep}."
