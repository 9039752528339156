"""Counts of a caption's words, characters and tokens, as the rules of DataComp count them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch
from transforms.lib.columnstore.block import Block
from transforms.lib.columnstore.text import SPACE, as_text

"""What ``str.split`` splits at, as the inside of a regular expression's brackets."""

_FASTTEXT_SPACE = "\x00\t-\r "


def count_words(captions: NDArray[Any] | pa.Array) -> NDArray[np.int32]:
    """Counts words as ``len(caption.split())`` does; int32 ``[n]``."""
    return _count(captions, f"[^{SPACE}]+")


def count_characters(captions: NDArray[Any] | pa.Array) -> NDArray[np.int32]:
    """Counts code points as ``len(caption)`` does; int32 ``[n]``."""
    counts: NDArray[np.int32] = pc.utf8_length(as_text(captions)).to_numpy(zero_copy_only=False).astype(np.int32)
    return counts


def count_tokens(captions: NDArray[Any] | pa.Array) -> NDArray[np.int32]:
    """Counts tokens as ``len(fasttext.tokenize(caption))`` does; int32 ``[n]``.

    fastText splits at the six ASCII spaces and NUL only, and every line feed is a token of its own (``</s>``).
    Source: ``Dictionary::readWord`` of fastText 0.9.2, by which DataComp's image_based baseline counts.
    """
    return _count(captions, f"[^{_FASTTEXT_SPACE}]+|\n")


def _count(captions: NDArray[Any] | pa.Array, pattern: str) -> NDArray[np.int32]:
    counts: NDArray[np.int32] = pc.count_substring_regex(as_text(captions), pattern).to_numpy(zero_copy_only=False)
    return counts


@dataclasses.dataclass(frozen=True)
class CaptionCounts(Annotator):
    """The column set ``caption``: ``words``, ``characters`` and ``tokens``, int32, of each caption; 0 where none is.

    Source: DataComp's basic_filter counts words and characters, image_based tokens (Gadre et al. 2023,
    arXiv:2304.14108, appendix F; baselines/apply_filter.py).
    """

    kind = "CaptionCounts"
    column_sets = ("caption",)

    name: str = "caption"

    def inputs(self) -> tuple[str, ...]:
        return ("index.caption",)

    def load(self, fetch: Fetch) -> Annotate:
        return _counts


def _counts(block: Block) -> pa.Table:
    text = as_text(block.columns["index.caption"])
    counts = {"words": count_words(text), "characters": count_characters(text), "tokens": count_tokens(text)}
    return pa.table({name: pa.array(values, pa.int32()) for name, values in counts.items()})
