import string
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.annotators import caption_counts
from transforms.lib.columnstore.block import Block

SPACES = [chr(code) for code in range(sys.maxunicode) if chr(code).isspace()]


def fasttext_tokens(text):
    """fastText's readWord, letter by letter: ASCII space ends a word, a line feed is one itself."""
    count, inside = 0, False
    for letter in text:
        if letter in " \n\r\t\v\f\0":
            count += inside + (letter == "\n")
            inside = False
        else:
            inside = True
    return count + inside


@given(st.lists(st.text(st.sampled_from([*string.ascii_letters[:3], *SPACES, "\0", "é", "犬", "🐶", "."])), max_size=8))
def test_counts_are_those_of_python_and_of_fasttext(captions):
    array = np.array(captions, object)
    assert caption_counts.count_words(array).tolist() == [len(text.split()) for text in captions]
    assert caption_counts.count_characters(array).tolist() == [len(text) for text in captions]
    assert caption_counts.count_tokens(array).tolist() == [fasttext_tokens(text) for text in captions]


@pytest.mark.parametrize(
    ("text", "words", "characters", "tokens"),
    [("", 0, 0, 0), ("   ", 0, 3, 0), ("a\nb", 2, 3, 3), ("a\u3000b", 2, 3, 1), ("a\0b", 1, 3, 2), ("a b c", 3, 5, 3)],
)
def test_counts_at_the_edges(text, words, characters, tokens):
    block = Block("a", {"index.caption": np.array([text], object)}, np.ones(1, bool), np.ones(1, np.uint16))
    table = caption_counts.CaptionCounts().load(str)(block)
    assert table.to_pylist() == [{"words": words, "characters": characters, "tokens": tokens}]
    assert table.schema == pa.schema([(name, pa.int32()) for name in ("words", "characters", "tokens")])
