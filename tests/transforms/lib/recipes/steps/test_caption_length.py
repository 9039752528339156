import numpy as np
import pytest

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.steps.caption_length import CaptionLength


@pytest.mark.parametrize(("words_above", "characters_above"), [(2, 5), (0, 0), (3, 1)])
def test_a_kept_caption_has_more_words_and_more_characters(words_above, characters_above):
    words, characters = (grid.ravel() for grid in np.meshgrid(np.arange(9), np.arange(12)))
    ones = np.ones(len(words), bool)
    columns = {"caption.words": words.astype(np.int32), "caption.characters": characters.astype(np.int32)}
    step = CaptionLength("c", words_above=words_above, characters_above=characters_above)
    verdict = step.apply(Block("s", columns, ones, ones.astype(np.uint16)), None)
    kept = (words > words_above) & (characters > characters_above)
    assert (verdict.copies > 0).tolist() == kept.tolist()
    scarcer = np.minimum(words - words_above, characters - characters_above)
    assert verdict.margin.tolist() == (scarcer - 1).tolist()
