"""Selection by what the caption names: DataComp's text_based."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.columnstore.text import SPACE, as_text
from transforms.lib.recipes.contract.step import TEXT, Step, Verdict
from transforms.lib.recipes.text import wordnet as wordnets


def count_matches(captions: NDArray[Any] | pa.Array, matcher: wordnets.SynsetMatcher) -> Int64:
    """Counts the words of each caption whose first synset is listed.

    Args:
      captions: object array of str ``[n]``, or an Arrow array of text.
      matcher: that knows the words.

    Returns:
      int64 ``[n]``.
    """
    words = pc.split_pattern_regex(as_text(captions), f"[{SPACE}]+")
    distinct = words.flatten().dictionary_encode()
    known = np.array([matcher.matches(word) for word in distinct.dictionary.to_pylist()], bool)
    hits = np.concatenate([[0], np.cumsum(known[distinct.indices.to_numpy(zero_copy_only=False)])])
    ends = np.cumsum(pc.list_value_length(words).to_numpy(zero_copy_only=False))
    counts: Int64 = np.diff(hits[ends], prepend=0)
    return counts


@dataclasses.dataclass(frozen=True)
class TextMatch(Step):
    """Keeps samples some word of whose caption has a listed synset for its first one.

    The quirks are DataComp's. Words are split at white space, and punctuation stays, so "dog," names nothing. A word's
    first synset alone counts, nouns before verbs before adjectives before adverbs. Synsets are compared by their offset
    in the database without part of speech, so a verb whose offset is that of a listed noun matches as well.

    The margin is the number of such words less one.

    Source: DataComp's text_based, with the ids of ImageNet-21k (Gadre et al. 2023, arXiv:2304.14108, section 4.1);
    baselines/apply_filter.py.

    Attributes:
      column: the column of captions.
      wordnet: zip file of WordNet 3.0, such as ``nltk_data/corpora/wordnet.zip``.
      synsets: text file of synset ids, one per line, such as DataComp's ``imagenet21k_wordnet_ids.txt``.
    """

    kind = "text_match"
    files = ("wordnet", "synsets")

    column: str = "index.caption"
    wordnet: str = ""
    synsets: str = ""

    def faults(self) -> list[str]:
        hints = {"wordnet": "the zip file of WordNet 3.0", "synsets": "a text file of synset ids, one per line"}
        return [f"{self.label}.{name} is missing; name {hints[name]}" for name in self.files if not getattr(self, name)]

    def check_files(self, files: Mapping[str, str]) -> None:
        self._matcher(files)

    def _matcher(self, files: Mapping[str, str]) -> wordnets.SynsetMatcher:
        return wordnets.matcher(*(files[f"{self.label}.{name}"] for name in self.files))

    def input_types(self) -> tuple[str, ...]:
        return (TEXT,)

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        counts = count_matches(block.columns[self.column], self._matcher(block.files))
        return Verdict.of(block, counts > 0, counts - 1)

    def sentence(self) -> str:
        return (
            f"Keep samples whose caption has a word whose first synset in {self.wordnet} is listed in {self.synsets}."
        )
