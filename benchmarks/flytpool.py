"""The pools of benchmarks/flyt.py: pictures of the demo's packages, a known share of them corrupted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from demo import pairs, pictures
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

CLIP_ART = 1500  # pairs that the CLIP model is trained on
SHARE = 0.25  # of a pool whose captions are shuffled, and as many whose pictures are blurred
BLUR_PX = 6  # radius of the Gaussian blur, of pictures at most 192 px wide
HELD_OUT = 0.25  # share of the titles that are in no training at all
SHARD_SAMPLES = 250
CLEAN, SHUFFLED, BLURRED = 0, 1, 2


class Material(NamedTuple):
    """What there is to make pools of, no title of one in another.

    Attributes:
      clip_art: openclipart, for the CLIP model.
      pool: Fluent emoji, to learn from.
      held: Fluent emoji of other titles, to measure on.
      labelled: Noto emoji of the titles of ``pool``.
    """

    clip_art: list[tuple[pairs.Pair, Image.Image]]
    pool: list[tuple[pairs.Pair, Image.Image]]
    held: list[tuple[pairs.Pair, Image.Image]]
    labelled: list[tuple[pairs.Pair, Image.Image]]


def opened(found: Sequence[pairs.Pair]) -> list[tuple[pairs.Pair, Image.Image]]:
    """Returns the pairs whose picture can be used, with it."""
    seen = ((pair, pictures.open_white(pair.path)) for pair in found)
    return [(pair, image) for pair, image in seen if image is not None]


def material(folder: Path) -> Material:
    """Reads the unpacked packages; titles are held out, and clip art drawn, by a seeded shuffle."""
    random = np.random.default_rng(0)
    art = list(pairs.openclipart(folder))
    drawn = [art[place] for place in sorted(random.permutation(len(art))[:CLIP_ART])]
    emoji = list(pairs.emoji(folder))
    titles = sorted({pair.title.lower() for pair in emoji})
    out = {title for title, draw in zip(titles, random.random(len(titles)), strict=True) if draw < HELD_OUT}

    def chosen(source: str, held: bool) -> list[tuple[pairs.Pair, Image.Image]]:
        return opened([p for p in emoji if p.source == source and (p.title.lower() in out) == held])

    return Material(opened(drawn), chosen("fluent", False), chosen("fluent", True), chosen("noto", False))


def shuffled(captions: Sequence[str], rows: NDArray[np.int64], random: np.random.Generator) -> dict[int, str]:
    """Passes the captions of some rows on among them, to one that shares no content word with its own."""
    free = random.permutation(rows).tolist()
    given = {}
    for row in rows.tolist():
        own = set(pairs.words(captions[row]))
        other = next((place for place in free if not own & set(pairs.words(captions[place]))), None)
        if other is not None:
            free.remove(other)
            given[row] = captions[other]
    return given


def write(found: Sequence[tuple[pairs.Pair, Image.Image]], folder: Path, seed: int | None) -> dict[str, int]:
    """Writes a pool as shards; its json members hold the title.

    Args:
      found: pictures with what they show.
      folder: to write to.
      seed: of the corruption; None for none.

    Returns:
      key -> ``CLEAN``, ``SHUFFLED`` or ``BLURRED``.
    """
    folder.mkdir(parents=True)
    captions = [pair.caption for pair, _ in found]
    random = np.random.default_rng(seed)
    order = random.permutation(len(found))
    count = 0 if seed is None else int(SHARE * len(found))
    given = shuffled(captions, order[:count], random)
    blurred = set(order[count : 2 * count].tolist())
    kinds = {}
    for start in range(0, len(found), SHARD_SAMPLES):
        tar = bytearray()
        for row, (pair, image) in enumerate(found[start : start + SHARD_SAMPLES], start):
            key = f"{row:06d}"
            kinds[key] = SHUFFLED if row in given else BLURRED if row in blurred else CLEAN
            shown = image.filter(ImageFilter.GaussianBlur(BLUR_PX)) if row in blurred else image
            tar += write_member(f"{key}.jpg", pictures.encode(shown))
            tar += write_member(f"{key}.json", json.dumps({"title": pair.title.lower()}).encode())
            tar += write_member(f"{key}.txt", given.get(row, captions[row]).encode())
        (folder / f"{start // SHARD_SAMPLES:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)
    return kinds
