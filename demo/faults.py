"""The demo pool: clean pairs with faults planted among them, each one listed."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from demo import pairs, pictures
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

SHARDS = 6
DUPLICATES = 12
Pairs = list[tuple[pairs.Pair, Image.Image]]
EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif"}


class Sample(NamedTuple):
    """A sample before it has a place: members by extension, and what is known of it."""

    members: dict[str, bytes]
    title: str
    author: str
    fault: dict[str, Any]


def _draw(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8], "big")


def shuffle_captions(captions: list[str], share: int = 3) -> dict[int, str]:
    """Draws one in ``share`` captions and passes them on among themselves.

    Returns:
      position -> given caption, which shares no content word with the true one.
    """
    drawn = sorted(range(len(captions)), key=lambda i: _draw("shuffle", captions[i]))[: len(captions) // share]
    given: dict[int, str] = {}
    free = list(drawn)
    for position in drawn:
        own = set(pairs.words(captions[position]))
        start = _draw("give", captions[position]) % len(free)
        order = [*free[start:], *free[:start]]
        other = next((i for i in order if not own & set(pairs.words(captions[i]))), None)
        if other is not None:
            free.remove(other)
            given[position] = captions[other]
    return given


def _sample(pair: pairs.Pair, image: Image.Image, caption: str, fault: dict[str, Any]) -> Sample:
    chance = _draw("format", pair.path.name) % 100
    kind = "PNG" if chance < 6 else "WEBP" if chance < 14 else "GIF" if chance < 16 else "JPEG"
    data = pictures.encode(image, kind)
    members = {EXTENSIONS[kind]: data, "txt": caption.encode()}
    if _draw("json", pair.path.name) % 10:
        uid = hashlib.sha256(b"winnow demo" + data + caption.encode()).hexdigest()[:32]
        members["json"] = json.dumps({"uid": uid}).encode()
    if _draw("extra", pair.path.name) % 20 == 0:
        members["author.txt"] = pair.author.encode()
    return Sample(members, pair.title, pair.author, fault)


def _bomb() -> bytes:
    """Returns a PNG of 400 million one-bit pixels in a few dozen kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(20_000 * 2_501), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _again(pair: pairs.Pair, image: Image.Image, fault: str, original: Sample) -> Sample:
    """Returns a second sample of a picture: the same bytes, or re-encoded a little smaller."""
    members = dict(original.members)
    extension = next(e for e in EXTENSIONS.values() if e in members)
    if fault == "near_duplicate":
        del members[extension]
        smaller = image.resize((max(16, image.width * 9 // 10), max(16, image.height * 9 // 10)))
        sink = io.BytesIO()
        smaller.save(sink, "JPEG", quality=70)
        members["jpg"] = sink.getvalue()
    if "json" in members:
        uid = hashlib.sha256(fault.encode() + members["txt"] + members.get("jpg", b"")).hexdigest()[:32]
        members["json"] = json.dumps({"uid": uid}).encode()
    return Sample(members, pair.title, pair.author, {"fault": fault})


def samples_of(found: Pairs) -> list[Sample]:
    """Returns all samples of the pool in drawn order, faults planted."""
    captions = [pair.caption for pair, _ in found]
    given = shuffle_captions(captions)
    made: list[Sample] = []
    for i, (pair, image) in enumerate(found):
        wrong = {"fault": "shuffled_caption", "true_caption": captions[i], "given_caption": given.get(i)}
        made.append(_sample(pair, image, given.get(i, captions[i]), wrong if i in given else {}))
    matched = [i for i in range(len(found)) if i not in given]
    for n, i in enumerate(matched[: 2 * DUPLICATES]):
        fault = "exact_duplicate" if n < DUPLICATES else "near_duplicate"
        made.append(_again(*found[i], fault, made[i]))
    undecodable, no_caption, not_utf8, oversized = matched[2 * DUPLICATES : 2 * DUPLICATES + 4]
    jpeg = next(e for e in EXTENSIONS.values() if e in made[undecodable].members)
    made[undecodable].members[jpeg] = b"\xff\xd8\xff\xe0 this is no picture"
    del made[no_caption].members["txt"]
    made[not_utf8].members["txt"] = "Smørrebrød, café".encode("latin-1")
    for extension in EXTENSIONS.values():
        made[oversized].members.pop(extension, None)
    made[oversized].members["png"] = _bomb()
    names = ("undecodable_image", "missing_caption", "caption_not_utf8", "oversized_image")
    for i, name in zip((undecodable, no_caption, not_utf8, oversized), names, strict=True):
        made[i] = made[i]._replace(fault={"fault": name})
    return sorted(made, key=lambda sample: _draw("order", sample.title, sorted(sample.members), sample.fault))


def write_pool(found: Pairs, folder: Path) -> None:
    """Writes the shards, ``faults.json``, ``attribution.json`` and leaves the README to people."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = samples_of(found)
    size = -(-len(samples) // SHARDS)
    listed: list[dict[str, Any]] = []
    authors: dict[str, list[str]] = {}
    for number in range(SHARDS):
        tar = bytearray()
        for row, sample in enumerate(samples[number * size : (number + 1) * size]):
            key = f"{number:05d}{row:04d}"
            last = len(tar)
            for extension, data in sorted(sample.members.items()):
                tar += write_member(f"{key}.{extension}", data)
            authors[key] = [sample.title, sample.author]
            if sample.fault:
                uid = json.loads(sample.members.get("json", b"{}")).get("uid", "")
                listed.append({"shard": f"{number:05d}", "key": key, "uid": uid, **sample.fault})
        if number == SHARDS - 1:
            tar = tar[: last + 1024 + 300]  # inside the first member's data
            listed = [entry for entry in listed if entry["key"] != key]
            listed.append({"shard": f"{number:05d}", "key": key, "uid": "", "fault": "truncated_tar"})
        else:
            tar += END_OF_ARCHIVE
        (folder / f"{number:05d}.tar").write_bytes(tar)
    (folder / "faults.json").write_text(_lines(listed))
    (folder / "attribution.json").write_text(_lines([[key, *found] for key, found in sorted(authors.items())]))


def _lines(rows: list[Any]) -> str:
    """Returns a JSON list with one row a line."""
    return "[\n" + ",\n".join(re.sub(r"\s+", " ", json.dumps(row, ensure_ascii=False)) for row in rows) + "\n]\n"
