import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.steps.keep_language import KeepLanguage


def test_one_label_is_kept_and_no_other():
    labels = np.array(["de", "en", "eng", "", "zh"], object)
    ones = np.ones(len(labels), bool)
    block = Block("s", {"language.label": labels}, ones, ones.astype(np.uint16))
    verdict = KeepLanguage("l", keep="en").apply(block, None)
    assert verdict.copies.tolist() == [0, 1, 0, 0, 0]
    assert verdict.margin.tolist() == [-1, 1, -1, -1, -1]
