"""Images of more than 8 bits per channel, as 8 bits: one scale for networks, perceptual hash and report.

Networks were trained on 8 bits. Pillow takes colours of 16 bits by their upper 8, which is right; grey of 16 or 32 bits
it cuts at 255, so that nearly all of it is white.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PpmImagePlugin, TiffImagePlugin

SCALED = "winnow_scaled_from"
"""Key of an image's ``info``: how the file stores its values, where they have more than 8 bits."""

_WHITES = tuple((1 << bits) - 1 for bits in (8, 10, 12, 14, 16))  # of cameras, scanners and X-rays
_FLOAT_WHITES = (1, 255, 65_535)
_BAND_PX = 1 << 20  # pixels that are scaled at once
_WHITE_IS_ZERO = 262  # TIFF's tag PhotometricInterpretation, whose value 0 says so; Pillow heeds it in 8 bits alone


def stored_as(image: ImageFile.ImageFile) -> str:
    """Returns how an image that is not loaded yet stores values of more than 8 bits; empty for any other.

    It is Pillow's name, such as ``I;16``. Formats whose decoder gives 8 bits itself (AVIF, colour in JPEG 2000) say
    nothing of it.
    """
    for tile in image.tile:
        parts = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        for part in parts:
            if isinstance(part, str) and (found := re.match(r"\w+;(1\d|32|64)", part)):
                return found[0]
        if isinstance(image, PpmImagePlugin.PpmImageFile) and any(type(one) is int and one > 255 for one in parts):
            return f"{image.mode};16"
    return image.mode if image.mode[0] in "IF" else ""


def eight_bits(image: Image.Image, stored: str) -> Image.Image:
    """Returns an image as 8 bits, with ``stored`` in its ``info``.

    PGM says what is white. Elsewhere grey of 16 or 32 bits often uses fewer of them, such as 12 of an X-ray. White is
    the least of 255, 1,023, 4,095, 16,383 and 65,535 that no value is above; of floats the least of 1, 255 and 65,535.
    Values outside of all are spread from the darkest to the brightest. Not a number is black.

    Args:
      image: loaded.
      stored: from ``stored_as``.
    """
    if image.mode[0] in "IF":
        values = np.asarray(image)
        low, high = (0.0, 65535.0) if isinstance(image, PpmImagePlugin.PpmImageFile) else _range(values)
        if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(_WHITE_IS_ZERO) == 0:
            whole = values.dtype.kind == "u"
            low, high = (65535.0, 0.0) if whole else (high, low)
        image = Image.fromarray(_spread(values, low, high))
    image.info[SCALED] = stored
    return image


def stretched(image: Image.Image) -> Image.Image:
    """Returns grey of 16 or 32 bits as 8 bits, from the darkest to the brightest: for DICOM, which has no white."""
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return Image.fromarray(_spread(values, low, high))


def _range(values: NDArray[np.generic]) -> tuple[float, float]:
    """Returns what is black and what is white."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    for white in _FLOAT_WHITES if values.dtype.kind == "f" else _WHITES:
        if low >= 0 and high <= white:
            return 0.0, float(white)
    return low, high


def _spread(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    """Returns uint8 of the same shape: ``low`` is 0, ``high`` is 255, rounded to the nearest."""
    found = np.zeros(values.shape, np.uint8)
    scale = 255.0 / (high - low) if high != low else 0.0
    rows = max(1, _BAND_PX // max(1, values.shape[1]))
    for first in range(0, len(values), rows):
        part = np.nan_to_num(values[first : first + rows].astype(np.float64), nan=low, posinf=high, neginf=low)
        found[first : first + rows] = np.clip(np.floor((part - low) * scale + 0.5), 0, 255)
    return found
