"""What a network sees of an image: open_clip's evaluation transform up to its normalisation, in named variants.

``exact`` gives the pixels of open_clip's own transform, to the bit. ``fast`` lets the JPEG decoder skip resolution that
the resizing would throw away (libjpeg's scaled inverse DCT); its pixels differ a little, so it is part of the stamp.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.errors import Reason, SampleError
from transforms.lib.stamps import stamp

if TYPE_CHECKING:
    from PIL.Image import Image

VARIANTS = ("exact", "fast")
SEEN = ("interpolation", "resize_mode", "fill_color")
"""Of open_clip's preprocessing, what decides the pixels; mean and deviation are the network's own business."""
MAX_RESIZED_PIXELS = 1 << 26  # a 1 x 50,000 pixel image would be blown up to 2.5 billion before its crop


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """The pixels that some networks want.

    Attributes:
      name: fingerprint; views of one name give the same pixels, and are made once for all networks.
      least: pixels of the shorter side (resize mode ``shortest``; else of the longer one) that a scaled decode leaves.
      longest: whether ``least`` is about the longer side.
      scaled: whether JPEGs are decoded at a fraction of their size.
    """

    name: str
    least: tuple[int, bool]
    scaled: bool
    _resize: Any
    _upscales: int

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """Returns uint8 ``[size, size, 3]``.

        Raises:
          SampleError: ``image_too_large`` when resizing would blow a very narrow image up beyond all memory;
            ``image_undecodable`` when the image's mode has no way to RGB.
        """
        short, long = sorted(image.size)
        if self._upscales and self._upscales * self._upscales * long / short > MAX_RESIZED_PIXELS:
            raise SampleError(Reason.IMAGE_TOO_LARGE, f"{image.width} x {image.height} is too narrow to resize")
        try:
            resized = self._resize(image)
        except (OSError, ValueError) as error:
            raise SampleError(Reason.IMAGE_UNDECODABLE, f"mode {image.mode}: {error}") from None
        return np.asarray(resized, np.uint8)


def view(preprocess: dict[str, Any], size: int | list[int], variant: str = "exact") -> View:
    """Returns the view of a network.

    Args:
      preprocess: open_clip's ``preprocess_cfg`` with every key of ``modelspec.PREPROCESS``.
      size: of the input, in pixels.
      variant: one of ``VARIANTS``.
    """
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.transforms import Compose

    whole = image_transform_v2(PreprocessCfg(size=size, **preprocess), is_train=False)
    largest = size if isinstance(size, int) else max(size)
    by_longest = preprocess["resize_mode"] == "longest"
    return View(
        name=stamp(size=size, variant=variant, **{name: preprocess[name] for name in SEEN}),
        least=(largest, by_longest),
        scaled=variant == "fast",
        _resize=Compose(whole.transforms[:-2]),  # without ToTensor and Normalize
        _upscales=largest if preprocess["resize_mode"] == "shortest" else 0,
    )
