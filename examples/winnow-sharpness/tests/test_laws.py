"""The parts keep Winnow's laws; a law says in its docstring what must hold."""

import numpy as np
import pytest
from winnow_sharpness import sharpness

from winnow import laws

LAWS = [
    *laws.of_step("near_best", {"distance": 0.25}),
    *laws.of_step("near_best", {"column": "sharpness.score", "distance": 0.0}),
    *laws.of_annotator("shouting"),
    *laws.of_scorer("sharpness"),
]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_law(law):
    law()


def test_a_blurred_image_is_less_sharp():
    noise = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    blurred = np.repeat(np.repeat(noise[:, ::8, ::8], 8, axis=1), 8, axis=2)
    assert sharpness(blurred) < sharpness(noise)
