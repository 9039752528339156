"""Encode an image again, as one of the formats that every loader and every tool reads."""

from __future__ import annotations

import io

from PIL import Image

from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import images

FORMATS = {"jpg": "jpeg", "webp": "webp"}
"""Extension -> name of the format, as ``images.kind_of`` gives it."""
QUALITY = 95
"""Of Pillow's encoders. Source: ``encode_quality`` of img2dataset, by which its published pools were made."""


def to_format(data: bytes, extension: str) -> bytes:
    """Returns an image in another format: its first frame in RGB, transparent parts on white, as img2dataset does.

    JPEG is written with Pillow's settings at quality 95, which halves the resolution of colour; WebP is lossy, at that
    quality too. The colour profile of an RGB image stays, and other metadata go, the orientation too: models were
    scored on pixels as they are stored.

    Args:
      data: the encoded image.
      extension: of the new format, one of ``FORMATS``.

    Returns:
      the encoded image; ``data`` itself where it has that format.

    Raises:
      SampleError: the image cannot be decoded, or has more pixels to a side than the format has room for.
    """
    if images.kind_of(data) == FORMATS[extension]:
        return data
    stored = images.decode(data)
    profile = stored.info.get("icc_profile") if stored.mode in ("RGB", "RGBA") else None
    if stored.mode in ("RGBA", "LA", "PA") or "transparency" in stored.info:
        stored = stored.convert("RGBA")
        page = Image.new("RGB", stored.size, "white")
        page.paste(stored, mask=stored.getchannel("A"))
        stored = page
    sink = io.BytesIO()
    try:
        stored.convert("RGB").save(sink, FORMATS[extension], quality=QUALITY, icc_profile=profile)
    except (OSError, ValueError) as error:  # the encoder's limits: 65,535 pixels a side in JPEG, 16,383 in WebP
        raise SampleError(Reason.IMAGE_TOO_LARGE, f"{type(error).__name__}: {error}"[:200]) from error
    return sink.getvalue()
