"""A pool as dirty as a crawl, and the clean sets beside it, as shards."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.proof import material
from benchmarks.proof.material import Picture
from demo import pairs, pictures
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

# share of the pool; chosen beforehand, after what the papers say of crawls: DataComp, DFN and FLYT keep 15 to 30 % of
# one, T-MARS finds text over a fifth to two fifths of pictures, SemDeDup halves LAION
SHARES = {"clean": 0.30, "shuffled": 0.35, "boilerplate": 0.10, "blurred": 0.08, "rendered": 0.07, "repeated": 0.10}
COPIES = 100  # of each picture that is repeated
BLUR_PX = 5  # radius, of pictures at most 96 px wide
GAME_ICONS = 2000  # of the pool; there are 4,000, all black and white
SHARD_SAMPLES = 500
BOILERPLATE = (
    "img {n}.jpg", "image {n}", "dsc{n}", "click here for more", "free shipping on all orders", "add to cart",
    "download free clip art", "buy now - best price guaranteed", "photo of the day", "untitled-{n}", "stock photo {n}",
    "view larger image", "logo", "share on facebook", "product details no. {n}", "sign up for our newsletter",
)  # fmt: skip


class Sample(NamedTuple):
    """One sample of a pool.

    Attributes:
      kind: one of ``SHARES``.
      data: the picture, encoded.
      caption: as the pool has it.
      title: what the picture was before; no part of the pool.
    """

    kind: str
    data: bytes
    caption: str
    title: str


def split_clip_art(folder: Path) -> tuple[list[Picture], list[Picture]]:
    """Returns two halves of the clip art, no title in both: for the filters, and for the pool."""
    art = list(material.clip_art(folder))
    titles = sorted({picture.title for picture in art})
    first = set(np.random.default_rng(1).permutation(titles)[: len(titles) // 2].tolist())
    return [p for p in art if p.title in first], [p for p in art if p.title not in first]


def pool(folder: Path, clip_art: Sequence[Picture], size: int, seed: int) -> list[Sample]:
    """Draws the samples of a pool, and makes most of them dirty.

    Args:
      folder: of the unpacked packages.
      clip_art: the pool's half.
      size: samples.
      seed: of every draw.

    Returns:
      the samples, mixed.
    """
    random = np.random.default_rng(seed)
    found = list(clip_art)
    for package in material.POOL:
        icons = list(material.icons(folder, package))
        most = GAME_ICONS if package == "game-icons" else len(icons)
        found += [icons[place] for place in sorted(random.permutation(len(icons))[:most])]
    order = [found[place] for place in random.permutation(len(found))]
    counts = {kind: round(share * size) for kind, share in SHARES.items()}
    counts["repeated"] //= COPIES
    if sum(counts.values()) > len(order):
        raise SystemExit(f"proof: {sum(counts.values())} pictures are needed, and there are {len(order)}")
    made: list[Sample] = []
    for kind, count in counts.items():
        part, order = order[:count], order[count:]
        made += list(_dirty(kind, part, random))
    return [made[place] for place in random.permutation(len(made))]


def _dirty(kind: str, part: Sequence[Picture], random: np.random.Generator) -> Iterator[Sample]:
    given = shuffled([picture.caption for picture in part], random) if kind == "shuffled" else []
    for number, picture in enumerate(part):
        if kind == "shuffled":
            yield Sample(kind, picture.data, given[number], picture.title)
        elif kind == "boilerplate":
            text = BOILERPLATE[random.integers(len(BOILERPLATE))].format(n=random.integers(10_000))
            yield Sample(kind, picture.data, text, picture.title)
        elif kind == "blurred":
            blurred = _opened(picture.data).filter(ImageFilter.GaussianBlur(BLUR_PX))
            yield Sample(kind, pictures.encode(blurred), picture.caption, picture.title)
        elif kind == "rendered":
            yield Sample(kind, rendered(picture.title, random), picture.caption, picture.title)
        elif kind == "repeated":  # half of the pictures with their own words, as a logo is; half with boilerplate
            text = picture.caption if number % 2 else BOILERPLATE[number % len(BOILERPLATE)].format(n=number)
            for copy in range(COPIES):
                data = picture.data if copy % 2 else _again(picture.data, int(random.integers(50, 95)))
                yield Sample(kind, data, text, picture.title)
        else:
            yield Sample(kind, picture.data, picture.caption, picture.title)


def _opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _again(data: bytes, quality: int) -> bytes:
    sink = io.BytesIO()
    _opened(data).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def rendered(text: str, random: np.random.Generator) -> bytes:
    """Returns a picture of a text, in a dark colour on a light one."""
    side = material.SIDE_PX
    light, dark = random.integers(170, 256, 3), random.integers(0, 100, 3)
    image = Image.new("RGB", (side, side), tuple(light.tolist()))
    font = ImageFont.load_default(int(random.integers(13, 19)))
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > side - 8:
            lines.append(line)
            longer = word
        line = longer
    ImageDraw.Draw(image).multiline_text((4, 8), "\n".join([*lines, line]), tuple(dark.tolist()), font)
    return pictures.encode(image)


def shuffled(captions: Sequence[str], random: np.random.Generator) -> list[str]:
    """Deals captions to others: nobody's shares a content word with its own, but for the last few."""
    free = random.permutation(len(captions)).tolist()
    words = [set(pairs.words(caption)) for caption in captions]
    given = []
    for own in words:
        place = next((n for n, other in enumerate(free) if not own & words[other]), 0)
        given.append(captions[free.pop(place)])
    return given


def write(samples: Iterable[tuple[bytes, str, str]], folder: Path) -> None:
    """Writes (picture, caption, title) as shards; the title stands in the json member."""
    folder.mkdir(parents=True)
    tar, shard, row = bytearray(), 0, -1
    for row, (data, caption, title) in enumerate(samples):
        if row and row % SHARD_SAMPLES == 0:
            (folder / f"{shard:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)
            tar, shard = bytearray(), shard + 1
        tar += write_member(f"{row:06d}.jpg", data)
        tar += write_member(f"{row:06d}.json", json.dumps({"title": title}).encode())
        tar += write_member(f"{row:06d}.txt", caption.encode())
    (folder / f"{shard:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)


def write_folders(found: Iterable[Picture], folder: Path) -> None:
    """Writes pictures as class folders, named by their titles."""
    for number, picture in enumerate(found):
        place = folder / re.sub(r"[^a-z0-9 ,'&-]", "", picture.title)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:05d}.jpg").write_bytes(picture.data)


def write_all(folder: Path, work: Path, size: int, seed: int) -> None:
    """Writes every set of the proof below ``work``, each into a folder that appears when it is whole.

    ``noisy`` has the pictures of ``clean`` and a quarter of their captions exchanged: a CLIP model trained on a crawl,
    against a filter trained on clean pairs. The pool's json members hold no title, and ``kinds.json`` lies beside it.
    """
    filters, rest = split_clip_art(folder)
    labelled = list(material.icons(folder, material.LABELLED))
    random = np.random.default_rng(2)
    wrong = set(random.permutation(len(filters))[: len(filters) // 4].tolist())
    mixed = iter(shuffled([filters[n].caption for n in sorted(wrong)], random))
    noisy = [next(mixed) if n in wrong else picture.caption for n, picture in enumerate(filters)]
    write([(p.data, p.caption, p.title) for p in filters], work / "clean")
    write([(p.data, text, p.title) for p, text in zip(filters, noisy, strict=True)], work / "noisy")
    write([(p.data, p.caption, p.title) for p in labelled], work / "labelled")
    write([(p.data, p.caption, p.title) for p in material.icons(folder, material.EVALUATION)], work / "noto")
    write([(p.data, p.caption, p.title) for p in material.stamps(folder)], work / "stamps")
    samples = pool(folder, rest, size, seed)
    write([(s.data, s.caption, "") for s in samples], work / "pool")
    kinds = {f"{row:06d}": sample.kind for row, sample in enumerate(samples)}
    (work / "kinds.json").write_text(json.dumps(kinds))
