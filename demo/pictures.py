"""Pictures as the demo stores them, and which of them look alike."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transforms.lib.errors import SampleError
from transforms.lib.samples import images

MAX_PIXELS = 40_000_000
SIDE_PX = 192


def open_white(path: Path) -> Image.Image | None:
    """Returns a picture on white, or None when it is too small, too narrow or too large to be useful."""
    try:
        opened = images.decode(path.read_bytes(), max_pixels=MAX_PIXELS)
    except SampleError:
        return None
    width, height = opened.size
    if min(width, height) < 64 or max(width, height) > 3 * min(width, height):
        return None
    image = opened.convert("RGBA")
    image.thumbnail((2 * SIDE_PX, 2 * SIDE_PX), Image.Resampling.BOX)
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    flat = white.convert("RGB")
    flat.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return flat if min(flat.size) >= 16 and np.asarray(flat).std() > 4 else None


def encode(image: Image.Image, kind: str = "JPEG") -> bytes:
    """Returns the bytes of a picture as JPEG, PNG, WEBP or GIF."""
    sink = io.BytesIO()
    options: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 80, "optimize": True},
        "PNG": {"optimize": True},
        "WEBP": {"quality": 80, "method": 6},
        "GIF": {},
    }
    stored = image.quantize(64) if kind in ("PNG", "GIF") else image
    stored.save(sink, kind, **options[kind])
    return sink.getvalue()


def difference_hash(image: Image.Image) -> int:
    """Returns 64 bits: whether each of 8 x 8 grey cells is darker than its right neighbour."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(grey[:, :-1] < grey[:, 1:]).tobytes(), "big")


def near_pairs(hashes: Sequence[int], distance: int) -> list[tuple[int, int]]:
    """Returns positions (i, j), i < j, of hashes that differ in at most ``distance`` bits."""
    values: NDArray[np.uint64] = np.array(hashes, np.uint64)
    found: list[tuple[int, int]] = []
    for i in range(len(values) - 1):
        near = np.flatnonzero(np.bitwise_count(values[i + 1 :] ^ values[i]) <= distance)
        found += [(i, i + 1 + int(j)) for j in near]
    return found
