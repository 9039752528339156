"""A perceptual hash: 64 bits of an image that change little when it is resized, re-encoded or slightly touched up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transforms.lib.arrays import Float64
from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import depths

_SIDE = 32  # pixels of the small grey image
_LOW = 8  # frequencies kept in each direction
_GAP = 2.0  # an image is first averaged down to no less than this many times the small one: nine times as fast
_SCALE = 1 << 14  # of the cosines as integers: 2**14 * 2**14 * 255 * 32 * 32 < 2**53, so that float64 sums are exact
_ANGLES = np.pi * np.outer(np.arange(_LOW), 2 * np.arange(_SIDE) + 1) / (2 * _SIDE)
_COSINES = np.rint(np.cos(_ANGLES) * _SCALE)
_NOISE = 64.0 * _SCALE * _SCALE  # sums of 1,024 rounded pixels differ by some 10 to 20 when an image is re-encoded


def phash(image: Image.Image) -> int:
    """Hashes an image by its low frequencies: the well-known pHash of 64 bits, made steady for symmetric images.

    The image becomes grey (ITU-R 601), transparent parts white, 16 and 32 bits become 8 (``depths``), and 32 x 32
    pixels (Lanczos, after averaging); of its discrete cosine transform ``sum cos(pi (2n + 1) k / 64) x_n`` in both
    directions the 8 x 8 lowest frequencies count. A bit is 1 where the coefficient is above the median of the 64 by
    more than 64, which is that of a wave of a quarter of a grey level. The first bit is the mean brightness.

    Without that margin it is the ``phash`` of the package ImageHash but for the averaging. There, half the coefficients
    of a symmetric picture (a flag, an icon) are zero and so is their median: the bits are rounding noise, and 2 of the
    12 planted near duplicates of the demo pool come out 16 bits apart.

    The cosines are integers of 15 bits, so coefficients are exact and the bits the same on any machine.

    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.1.

    Args:
      image: decoded, any mode.

    Returns:
      0 .. 2**64 - 1; 0 for an image that is black all over, 2**63 for any other of one colour.

    Raises:
      SampleError: ``IMAGE_UNDECODABLE`` when the mode has no way to grey.
    """
    try:
        small = _grey(image).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=_GAP)
    except (OSError, ValueError) as error:
        raise SampleError(Reason.IMAGE_UNDECODABLE, f"mode {image.mode} to grey: {error}"[:300]) from error
    return bits_of(np.asarray(small, np.uint8))


def bits_of(pixels: NDArray[np.uint8]) -> int:
    """Returns the hash of a small grey image, uint8 ``[32, 32]``; see ``phash``."""
    low = _COSINES @ pixels.astype(np.float64) @ _COSINES.T
    above = low.ravel() > np.median(low) + _NOISE
    return int.from_bytes(np.packbits(above).tobytes(), "big")


def _lanczos() -> Float64:
    """Returns what Pillow's Lanczos filter weighs pixels with to halve them: ``[32, 64]``, integers of 22 bits."""
    away = (np.arange(2 * _SIDE)[None] - 2 * np.arange(_SIDE)[:, None] - 0.5) / 2
    weight = np.where(abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0.0)
    found: Float64 = np.trunc(weight / weight.sum(1, keepdims=True) * 2**22 + np.copysign(0.5, weight))
    return found


_HALVING = _lanczos()


def _rounded(sums: Float64) -> Float64:
    """Returns sums of weights of 22 bits as grey levels, as Pillow rounds and cuts them."""
    sums += 2**21
    sums *= 2**-22
    return np.clip(np.floor(sums, out=sums), 0, 255, out=sums)


def hashes_of(pixels: NDArray[np.uint8]) -> list[int]:
    """Returns the ``phash`` of each of several RGB images of twice the small one's side, all at once.

    The arithmetic is Pillow's, in integers: grey by ITU-R 601 in 16 bits, Lanczos first along rows, rounded, and then
    along columns. So the hashes are those that ``phash`` gives, for a third of the time.

    Args:
      pixels: uint8 ``[n, 64, 64, 3]``.
    """
    red, green, blue = np.moveaxis(pixels, 3, 0).astype(np.uint32)
    grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    rows = _rounded(grey.astype(np.float64).reshape(-1, 2 * _SIDE) @ _HALVING.T)
    small = _rounded(np.matmul(_HALVING, rows.reshape(len(pixels), 2 * _SIDE, _SIDE)))
    low = (_COSINES @ small @ _COSINES.T).reshape(len(pixels), -1)
    ordered = np.sort(low, axis=1)
    above = low > ordered[:, 31:33].mean(1, keepdims=True) + _NOISE
    return [int.from_bytes(bits.tobytes(), "big") for bits in np.packbits(above, axis=1)]


def _grey(image: Image.Image) -> Image.Image:
    if image.mode[0] in "IF":
        return depths.eight_bits(image, image.mode)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("L")
    return image.convert("L")
