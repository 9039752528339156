"""Blur faces inside given boxes, as DataComp does when it downloads and when it reshards."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageFilter

from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import images

_MARGIN = 0.1  # a box grows by this share of its longer side, on each side
_SIGMA = 0.1  # of the Gaussian, as a share of the longest side of any box
_QUALITY = 100  # of the WebP

Box = tuple[float, float, float, float]


def boxes_of(value: Any) -> list[Box]:
    """Checks what a ``face_bboxes`` field holds.

    Args:
      value: None, or a list of ``[x_min, y_min, x_max, y_max]`` relative to width and height.

    Returns:
      the boxes, clipped to [0, 1]; those of no area are left out.

    Raises:
      SampleError: ``JSON_INVALID``: anything else.
    """
    if value is None:
        return []
    try:
        rows = [tuple(float(number) for number in row) for row in value]
    except (TypeError, ValueError) as error:
        raise SampleError(Reason.JSON_INVALID, f"face_bboxes: {error}"[:200]) from error
    if any(len(row) != 4 or not all(abs(number) < float("inf") for number in row) for row in rows):
        raise SampleError(Reason.JSON_INVALID, "face_bboxes must be lists of four finite numbers")
    clipped = [tuple(min(1.0, max(0.0, number)) for number in row) for row in rows]
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in clipped if x1 > x0 and y1 > y0]


def blur(data: bytes, boxes: Sequence[Box], max_pixels: int = images.DEFAULT_MAX_PIXELS) -> bytes:
    """Blurs an image inside boxes and encodes it again.

    Each box grows by a tenth of its longer side all round; image and mask are blurred by a Gaussian whose sigma is a
    tenth of the longest side of any box (Pillow's, three box filters), and the blurred image is blended in by the
    blurred mask. Everything far from the boxes keeps its pixels, but for what WebP at quality 100 changes.

    Source: the face blur of img2dataset, which DataComp's downloader and resharder use; constants as there.

    Args:
      data: the encoded image; of an animation the first frame counts.
      boxes: as ``boxes_of`` returns them; at least one.
      max_pixels: as in ``images.decode``.

    Returns:
      a WebP, with the EXIF data and the colour profile of the input.

    Raises:
      SampleError: the image cannot be decoded.
    """
    stored = images.decode(data, max_pixels=max_pixels)
    transparent = stored.mode in ("RGBA", "LA", "PA") or "transparency" in stored.info
    image = stored.convert("RGBA" if transparent else "RGB")
    mask = Image.new("L", image.size, 0)
    longest = 0
    for box in boxes:
        left, upper, right, lower = (int(number * side) for number, side in zip(box, image.size * 2, strict=True))
        side = max(right - left, lower - upper)
        longest = max(longest, side)
        margin = int(_MARGIN * side)
        mask.paste(255, (left - margin, upper - margin, right + margin, lower + margin))
    gaussian = ImageFilter.GaussianBlur(_SIGMA * longest)
    result = Image.composite(image.filter(gaussian), image, mask.filter(gaussian))
    sink = io.BytesIO()
    kept = {name: stored.info[name] for name in ("exif", "icc_profile") if stored.info.get(name)}
    result.save(sink, "WEBP", quality=_QUALITY, **kept)
    return sink.getvalue()
