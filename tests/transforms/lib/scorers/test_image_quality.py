"""Image quality as cleanvision computes it: numbers that its own code gave for the same pictures."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from transforms.lib import registry
from transforms.lib.scorers import image_quality
from winnow.laws_of_scorers import LAWS, Case

CLEANVISION = {
    "noise": {"dark": 0.920879, "light": 0.78409, "low_information": 0.958222, "blurry": 0.675654},
    "ramp": {"dark": 0.992157, "light": 0.952941, "low_information": 0.958496, "blurry": 0.571758},
    "blocks": {"dark": 0.978455, "light": 0.774428, "low_information": 0.73727, "blurry": 0.791132},
    "blurred": {"dark": 0.841661, "light": 0.629673, "low_information": 0.887673, "blurry": 0.426295},
    "flat": {"dark": 0.407781, "light": 0.592219, "low_information": 0.158496, "blurry": 1.0},
    "night": {"dark": 0.119725, "light": 0.972567, "low_information": 0.621873, "blurry": 0.549951},
    "snow": {"dark": 0.994587, "light": 0.051356, "low_information": 0.540037, "blurry": 0.989607},
}
"""What cleanvision 0.3.7 says of ``pictures``: its properties with the parameters of its issue manager."""


def pictures(side):
    """Returns pictures by name, uint8 ``[side, side, 3]``."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (side, side, 3), np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, side).astype(np.uint8)[None, :, None], (side, side, 3)).copy()
    blocks = np.kron(random.integers(0, 256, (8, 8, 3), np.uint8), np.ones((side // 8, side // 8, 1), np.uint8))
    flat = np.full((side, side, 3), (200, 30, 90), np.uint8)
    return {
        "noise": noise,
        "ramp": ramp,
        "blocks": blocks,
        "blurred": np.asarray(Image.fromarray(blocks).filter(ImageFilter.GaussianBlur(side / 16))),
        "flat": flat,
        "night": (blocks // 8).astype(np.uint8),
        "snow": (255 - blocks // 16).astype(np.uint8),
    }


@pytest.mark.parametrize("kind", ["dark", "light", "low_information", "blurry"])
def test_numbers_are_cleanvisions(kind):
    scorer = registry.SCORERS[kind].load()
    found = pictures(scorer.side)
    scores = scorer().load(lambda address: address)(np.stack(list(found.values())))
    expected = [CLEANVISION[name][kind] for name in found]
    np.testing.assert_allclose(scores, expected, atol=2e-6)


def test_each_fault_is_lowest_where_it_is():
    for kind, name in (("dark", "night"), ("light", "snow"), ("low_information", "flat")):
        assert min(CLEANVISION, key=lambda one: CLEANVISION[one][kind]) == name
    assert CLEANVISION["blurred"]["blurry"] < CLEANVISION["blocks"]["blurry"]


def test_grey_pictures_have_the_brightness_of_their_values():
    grey = np.full((1, 4, 4, 3), 51, np.uint8)
    np.testing.assert_allclose(image_quality.brightness(grey), 0.2)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", list(registry.SCORERS))
def test_an_own_scorer_keeps_the_law(law, name):
    law(Case(name))
