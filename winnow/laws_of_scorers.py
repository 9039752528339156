"""What every scorer must do, whatever it sees: checks of one scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from transforms.lib import registry
from transforms.lib.models.scorer import Scorer


class Case:
    """A scorer, and pixels for it: noise, flat squares, black and white.

    Args:
      name: of its entry point.
    """

    def __init__(self, name: str) -> None:
        self.kind: type[Scorer] = registry.SCORERS[name].load()
        side = self.kind.side
        random = np.random.default_rng(0)
        flat = [np.full((side, side, 3), value, np.uint8) for value in (0, 128, 255)]
        self.pixels = np.stack([*random.integers(0, 256, (5, side, side, 3), np.uint8), *flat])
        self.pixels.setflags(write=False)
        self.score = self.kind().load(lambda address: address)


def there_is_one_finite_number_per_image(case: Case) -> None:
    """Of any number of images, one too."""
    for count in (1, 3, len(case.pixels)):
        found = np.asarray(case.score(case.pixels[:count]))
        assert found.shape == (count,)
        assert np.isfinite(found.astype(np.float32)).all()


def a_number_depends_on_its_own_image_alone(case: Case) -> None:
    """Neither on the batch nor on the order."""
    whole = np.asarray(case.score(case.pixels), np.float32)
    turned = np.asarray(case.score(case.pixels[::-1]), np.float32)[::-1]
    alone = np.array([np.asarray(case.score(case.pixels[row : row + 1]), np.float32)[0] for row in range(len(whole))])
    np.testing.assert_array_equal(turned, whole)
    np.testing.assert_array_equal(alone, whole)


def a_scorer_that_is_loaded_again_gives_the_same(case: Case) -> None:
    """Another process gives equal numbers."""
    again = case.kind().load(lambda address: address)
    np.testing.assert_array_equal(np.asarray(again(case.pixels)), np.asarray(case.score(case.pixels)))


LAWS: Sequence[Callable[[Case], None]] = (
    there_is_one_finite_number_per_image,
    a_number_depends_on_its_own_image_alone,
    a_scorer_that_is_loaded_again_gives_the_same,
)
