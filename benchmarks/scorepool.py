"""A pool for timing scoring: shards of seeded JPEGs of 512 px and about 26 kB, with captions of web length."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

WORDS = [
    "a",
    "the",
    "of",
    "in",
    "with",
    "and",
    "for",
    "on",
    "red",
    "blue",
    "old",
    "new",
    "vintage",
    "wooden",
    "kitchen",
    "table",
    "lamp",
    "street",
    "dog",
    "cat",
    "mountain",
    "lake",
    "photo",
    "print",
    "poster",
    "dress",
    "summer",
    "women",
    "men",
    "size",
    "free",
    "shipping",
    "handmade",
    "ceramic",
    "illustration",
    "vector",
    "black",
    "white",
    "logo",
]


def jpeg(seed: int, side: int = 512) -> bytes:
    """Returns a JPEG of ``side`` x ``side`` pixels whose detail is that of a photograph: about 26 kB at 512."""
    random = np.random.default_rng(seed)
    layers = [random.uniform(0, 255, (n, n, 3)).astype(np.uint8) for n in (4, 16, 128)]
    grown = [np.asarray(Image.fromarray(x).resize((side, side), Image.Resampling.BICUBIC), np.float32) for x in layers]
    mixed = 0.6 * grown[0] + 0.3 * grown[1] + 0.1 * grown[2]
    sink = io.BytesIO()
    Image.fromarray(mixed.astype(np.uint8)).save(sink, "JPEG", quality=74)
    return sink.getvalue()


def caption(seed: int) -> str:
    """Returns a caption of 3 to 20 words, 9 on average."""
    random = np.random.default_rng((seed, 1))
    return " ".join(random.choice(WORDS, int(np.clip(random.lognormal(2.1, 0.5), 3, 20))))


def make(folder: Path, shards: int, rows: int) -> Path:
    """Writes ``shards`` tars of ``rows`` pairs, ``{:08d}.tar``, and returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with (folder / f"{shard:08d}.tar").open("wb") as file:
            for row in range(rows):
                seed = shard * rows + row
                members = {
                    "jpg": jpeg(seed),
                    "json": f'{{"uid": "{seed:032x}"}}'.encode(),
                    "txt": caption(seed).encode(),
                }
                for extension, data in members.items():
                    file.write(write_member(f"{seed:09d}.{extension}", data))
            file.write(END_OF_ARCHIVE)
    return folder
