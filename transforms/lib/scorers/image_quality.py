"""What is wrong with a picture itself, whatever its caption: too dark, too light, blurred, or with nothing to see.

The names and numbers are those of cleanvision 0.3 (github.com/cleanlab/cleanvision): each is in [0, 1], and less is
worse. It looks at whole pictures, and these scorers at a square of them, so that all pictures of a batch are one array;
of a square picture of that side the numbers are equal. Its default thresholds are in each docstring.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32, Float64, Int64
from transforms.lib.models.scorer import Fetch, Score, Scorer

_EDGES = 8  # Pillow's FIND_EDGES: eight times a pixel less its neighbours
_LUMA = (19595, 38470, 7471)  # Pillow's convert("L"): ITU-R 601 in 16 bits


def brightness(pixels: NDArray[np.uint8]) -> Float64:
    """Returns the brightness of each pixel as people perceive it; float64 ``[n, side * side]``, in [0, 1].

    Args:
      pixels: uint8 ``[n, side, side, 3]``.
    """
    squares = pixels.reshape(len(pixels), -1, 3).astype(np.float64) ** 2
    found: Float64 = np.sqrt(squares @ np.array([0.241, 0.691, 0.068])) / 255
    return found


def histograms(values: NDArray[np.uint8], channels: int) -> Int64:
    """Returns counts of values by channel; int64 ``[n, channels * 256]``.

    Args:
      values: uint8 ``[n, ..., channels]``.
      channels: of them.
    """
    rows = values.reshape(len(values), -1, channels).astype(np.int64) + 256 * np.arange(channels)
    size = 256 * channels
    flat = rows.reshape(len(values), -1) + size * np.arange(len(values))[:, None]
    return np.bincount(flat.ravel(), minlength=size * len(values)).reshape(-1, size)


def entropy(pixels: NDArray[np.uint8]) -> Float64:
    """Returns the entropy of all channels' values in bits, as Pillow's ``Image.entropy``; float64 ``[n]``."""
    counts = histograms(pixels, 3)
    share = counts / counts.sum(axis=1, keepdims=True)
    bits: Float64 = -(share * np.log2(np.where(counts, share, 1))).sum(axis=1)
    return bits


def blurriness(pixels: NDArray[np.uint8]) -> tuple[Float64, Float64]:
    """Returns the standard deviations of the edges, and of the histogram, of pictures in grey; float64 ``[n]`` each."""
    grey = ((pixels.astype(np.int64) @ np.array(_LUMA) + 0x8000) >> 16).astype(np.int64)
    edges = grey.copy()  # Pillow leaves the border as it is
    window = np.lib.stride_tricks.sliding_window_view(grey, (3, 3), axis=(1, 2)).sum(axis=(3, 4))
    edges[:, 1:-1, 1:-1] = np.clip((_EDGES + 1) * grey[:, 1:-1, 1:-1] - window, 0, 255)
    spread = edges.reshape(len(edges), -1).std(axis=1)
    return spread, histograms(grey[..., None].astype(np.uint8), 1).std(axis=1)


@dataclasses.dataclass(frozen=True)
class Dark(Scorer):
    """Gives the brightness that 99 % of the pixels do not exceed; cleanvision calls a picture dark below 0.32."""

    kind = "dark"
    side = 256

    def load(self, fetch: Fetch) -> Score:
        return dark


def dark(pixels: NDArray[np.uint8]) -> Float32:
    """Returns the 99th percentile of the brightness; float32 ``[n]``."""
    return np.percentile(brightness(pixels), 99, axis=1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Light(Scorer):
    """Gives 1 less the brightness that 95 % of the pixels exceed; cleanvision calls a picture light below 0.05."""

    kind = "light"
    side = 256

    def load(self, fetch: Fetch) -> Score:
        return light


def light(pixels: NDArray[np.uint8]) -> Float32:
    """Returns 1 less the 5th percentile of the brightness; float32 ``[n]``."""
    return (1 - np.percentile(brightness(pixels), 5, axis=1)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class LowInformation(Scorer):
    """Gives a tenth of the entropy of the pixels, at most 1; cleanvision calls less than 0.3 low information."""

    kind = "low_information"
    side = 256

    def load(self, fetch: Fetch) -> Score:
        return low_information


def low_information(pixels: NDArray[np.uint8]) -> Float32:
    """Returns a tenth of the entropy in bits, at most 1; float32 ``[n]``."""
    return np.minimum(0.1 * entropy(pixels), 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Blurry(Scorer):
    """Gives how clear the edges are, at a side of 64 pixels; cleanvision calls a picture blurry below 0.29.

    It is ``1 - exp(-s / 100)`` for the standard deviation s of the edges, plus the same of the histogram in grey where
    that is above 0.18, so that drawings in few colours do not count as blurred.
    """

    kind = "blurry"
    side = 64

    def load(self, fetch: Fetch) -> Score:
        return blurry


def blurry(pixels: NDArray[np.uint8]) -> Float32:
    """Returns cleanvision's score of blur; float32 ``[n]``."""
    edges, colours = (1 - np.exp(-0.01 * spread) for spread in blurriness(pixels))
    found: Float32 = np.minimum(edges + np.where(colours <= 0.18, 0, colours), 1).astype(np.float32)
    return found
