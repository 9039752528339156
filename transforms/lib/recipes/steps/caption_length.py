"""Selection by the length of the caption."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import Step, Verdict


@dataclasses.dataclass(frozen=True)
class CaptionLength(Step):
    """Keeps samples whose caption has more than so many words, and more than so many characters.

    DataComp's basic_filter: more than 2 words, split at white space, and more than 5 characters. The looser caption
    filter inside its image_based baseline is ``{column: caption.tokens, words_above: 1}``: more than 1 token of
    ``fasttext.tokenize``, more than 5 characters. Winnow's captions are stripped, so white space around a caption is
    not counted, where DataComp's metadata may have some.

    The margin is how many words or characters, whichever are scarcer, a caption has above the first that is kept.

    Source: DataComp (Gadre et al. 2023, arXiv:2304.14108, section 4.1); baselines/apply_filter.py.

    Attributes:
      column: the column of counted words that ``winnow annotate --columns caption`` adds.
      characters: the column of counted characters.
      words_above: a kept caption has more words.
      characters_above: a kept caption has more characters.
    """

    kind = "caption_length"

    column: str = "caption.words"
    characters: str = "caption.characters"
    words_above: int = 2
    characters_above: int = 5

    def faults(self) -> list[str]:
        return [
            f"{self.label}.{name} must be at least 0, got {getattr(self, name)}"
            for name in ("words_above", "characters_above")
            if getattr(self, name) < 0
        ]

    def inputs(self) -> tuple[str, ...]:
        return (self.column, self.characters)

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        words = block.columns[self.column].astype(np.int64) - self.words_above
        characters = block.columns[self.characters].astype(np.int64) - self.characters_above
        margin = np.minimum(words, characters) - 1
        return Verdict.of(block, margin >= 0, margin)

    def sentence(self) -> str:
        unit = self.column.rpartition(".")[2]
        return (
            f"Keep samples whose caption has more than {self.words_above} {unit} and more than "
            f"{self.characters_above} characters."
        )
