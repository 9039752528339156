"""Train a filtering network on pairs: the towers' features once for its projections, or the towers themselves.

The idea is the Data Filtering Network's (Fang et al. 2023, arXiv:2309.17425): a small network trained on a small set
of clean pairs filters better than a large one trained on noise.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.arrays import Bool, Float32
from transforms.lib.errors import ConfigError, SampleError
from transforms.lib.samples import captions, images
from transforms.lib.tar.shard_samples import RawSample
from transforms.lib.training import retrieval

Embed = Callable[[Any], Float32]


class Pair(NamedTuple):
    """An encoded image and its caption."""

    image: bytes
    caption: str


class Features(NamedTuple):
    """What locked towers give before their projections.

    Attributes:
      image: float32 ``[n, 2, width]``: the image, and its mirror image.
      text: float32 ``[n, 2, width]``: the caption, and its first clause.
    """

    image: Float32
    text: Float32


def read_pairs(samples: Iterable[RawSample], caption_field: str = "") -> Iterator[Pair]:
    """Yields the pairs of a pool whose image decodes; others are left out."""
    for sample in samples:
        try:
            if sample.problem is None:
                extension, data = images.image_of(sample.members)
                images.decode(data)
                named = extension in images.IMAGE_EXTENSIONS
                yield Pair(data, captions.caption_of(sample.members, caption_field, named=named))
        except SampleError:
            continue


def held_out(found: Sequence[str], fraction: float, seed: int) -> Bool:
    """Draws captions, not pairs, to hold out, so that no caption is on both sides.

    Args:
      found: captions.
      fraction: share of captions held out, in (0, 1).
      seed: of the draw, which is a hash of (seed, caption): a pool that grows keeps its split.

    Returns:
      bool ``[n]``.

    Raises:
      ConfigError: fewer than two captions on a side, so nothing can be learnt or measured.
    """
    held = np.array([is_held(caption, fraction, seed) for caption in found], bool)
    groups = retrieval.caption_groups(found)
    if min(len(set(groups[held].tolist())), len(set(groups[~held].tolist()))) < 2:
        raise ConfigError(
            f"--holdout_fraction {fraction} of {len(held)} pairs leaves too few captions on a side; give more pairs"
        )
    return held


def is_held(caption: str, fraction: float, seed: int) -> bool:
    """Tells whether ``held_out`` holds a caption out."""
    plain = " ".join(caption.lower().split())
    digest = hashlib.sha256(f"{seed}\0{plain}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < fraction


def first_clause(caption: str) -> str:
    """Returns a caption up to its first comma: keyword lists shortened to what the picture is called."""
    return caption.split(",")[0].strip() or caption


def features(
    found: Iterable[Pair], pixels: Callable[[bytes], Any], embed_images: Embed, embed_texts: Embed
) -> tuple[Features, list[str]]:
    """Runs the locked towers once over every pair and its variants; holds the images of 256 pairs at a time.

    Args:
      found: ``n`` pairs, read once.
      pixels: encoded image -> uint8 ``[size, size, 3]``.
      embed_images: uint8 ``[batch, size, size, 3]`` -> float32 ``[batch, width]``.
      embed_texts: captions -> float32 ``[batch, width]``.

    Returns:
      (features, the ``n`` captions).

    Raises:
      ConfigError: there is no pair.
    """
    views: list[list[Float32]] = [[], []]
    whole: list[str] = []
    reading = iter(found)
    while part := list(itertools.islice(reading, 256)):
        batch = np.stack([pixels(pair.image) for pair in part])
        views[0].append(embed_images(batch))
        views[1].append(embed_images(np.ascontiguousarray(batch[:, :, ::-1])))
        whole += [pair.caption for pair in part]
    if not whole:
        raise ConfigError("--input has no pair of an image that decodes and a caption; check --input")
    image = np.stack([np.concatenate(parts) for parts in views], 1)
    text = np.stack([embed_texts(whole), embed_texts([first_clause(caption) for caption in whole])], 1)
    return Features(image, text), whole
