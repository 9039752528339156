"""What training varies of a pair: which part of the image is seen, its mirror image, the words around a class name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from transforms.lib.models.preprocessing import Preprocess
from transforms.lib.samples import images
from transforms.lib.training.pair_stream import Example

if TYPE_CHECKING:
    from PIL.Image import Image

_RATIO = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How pairs are varied; everything is drawn by the pair's own ``draw``.

    Attributes:
      crop_scale: smallest part of the image's area that is seen, in (0, 1]; 1 is the network's own view. Else a crop of
        random area, and of a ratio of sides from 3/4 to 4/3, is resized to it (torchvision's RandomResizedCrop, which
        open_clip trains with from 0.9 on).
      mirror: half of the images are mirrored.
      templates: ``{}`` stands for the name of a class; one is drawn for each labelled pair.
    """

    crop_scale: float = 1.0
    mirror: bool = True
    templates: Sequence[str] = ("{}",)

    def pixels(self, example: Example, view: Preprocess) -> NDArray[np.uint8]:
        """Returns uint8 ``[size, size, 3]``; errors as ``images.decode`` and ``Preprocess.pixels``."""
        random = np.random.default_rng(example.draw)
        image = images.decode(example.image)
        if self.crop_scale < 1:
            image = _cropped(image, self.crop_scale, random)
        found = view.pixels(image)
        return np.ascontiguousarray(found[:, ::-1]) if self.mirror and random.random() < 0.5 else found

    def caption(self, example: Example) -> str:
        """Returns the caption: of a labelled pair, a template filled with its class."""
        if not example.labelled:
            return example.caption
        random = np.random.default_rng([example.draw, 1])
        return self.templates[int(random.integers(len(self.templates)))].replace("{}", example.caption)


def _cropped(image: Image, least: float, random: np.random.Generator) -> Image:
    """Returns a random part of an image, squeezed to a square of its longer side."""
    area = image.width * image.height * random.uniform(least, 1.0)
    ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
    width = min(image.width, max(1, round(math.sqrt(area * ratio))))
    height = min(image.height, max(1, round(math.sqrt(area / ratio))))
    left = int(random.integers(image.width - width + 1))
    top = int(random.integers(image.height - height + 1))
    side = max(width, height)
    return image.resize((side, side), box=(left, top, left + width, top + height))
