"""Make the training pool of the tiny network, and the demo pool with its planted faults.

python -m demo.make_pool --assets DIR --training DIR [--pool tests/data/pool]

The two share no picture, no look-alike and no title. Everything is drawn by hashes: the same packages and the same
version of Pillow give the same bytes.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from demo import assets, faults, pairs, pictures
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

POOL_SAMPLES = 692  # before duplicates and broken samples are planted
SHARD_SAMPLES = 1000  # of the training pool
NEAR_BITS = 4


class Item(NamedTuple):
    """A pair with its picture and the group of look-alikes and like titles it belongs to."""

    pair: pairs.Pair
    image: Image.Image
    group: int


def draw(text: str) -> int:
    """Returns a number drawn by a text: the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def load(folder: Path) -> list[Item]:
    """Returns all usable pairs, grouped so that no two groups share a title or a look-alike picture."""
    found: list[tuple[pairs.Pair, Image.Image]] = []
    for pair in [*pairs.openclipart(folder), *pairs.emoji(folder)]:
        image = pictures.open_white(pair.path)
        if image is not None:
            found.append((pair, image))
    parent = list(range(len(found)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, (pair, _) in enumerate(found):
        parent[root(i)] = root(first.setdefault(" ".join(sorted(set(pairs.words(pair.title)))), i))
    for i, j in pictures.near_pairs([pictures.difference_hash(image) for _, image in found], NEAR_BITS):
        parent[root(i)] = root(j)
    return [Item(pair, image, root(i)) for i, (pair, image) in enumerate(found)]


def split(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """Returns (training, demo): whole groups, the demo's drawn among small groups of openclipart."""
    groups: dict[int, list[Item]] = collections.defaultdict(list)
    for item in items:
        groups[item.group].append(item)
    wanted = [
        group
        for group in groups.values()
        if len(group) <= 3
        and all(item.pair.source == "openclipart" for item in group)
        and len(set(pairs.words(group[0].pair.caption))) >= 2
    ]
    wanted.sort(key=lambda group: draw(group[0].pair.path.name + group[0].pair.title))
    demo = [group[0] for group in wanted[:POOL_SAMPLES]]
    taken = {item.group for item in demo}
    return [item for item in items if item.group not in taken], demo


def write_training(items: list[Item], folder: Path) -> None:
    """Writes the training pool as WebDataset shards, in drawn order."""
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(items, key=lambda item: draw(str(item.pair.path.name) + item.pair.source))
    for shard in range(0, len(ordered), SHARD_SAMPLES):
        tar = bytearray()
        for number, item in enumerate(ordered[shard : shard + SHARD_SAMPLES]):
            pair = item.pair
            about = {"source": pair.source, "licence": pair.licence, "author": pair.author, "title": pair.title}
            about["keywords"] = ", ".join(pair.keywords)
            tar += write_member(f"{number:06d}.jpg", pictures.encode(item.image))
            tar += write_member(f"{number:06d}.txt", pair.caption.encode())
            tar += write_member(f"{number:06d}.json", json.dumps(about, sort_keys=True).encode())
        (folder / f"{shard // SHARD_SAMPLES:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)


def main(argv: list[str] | None = None) -> int:
    """Makes both pools."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder for downloads and unpacked files")
    parser.add_argument("--training", type=Path, required=True, help="folder of the training pool")
    parser.add_argument("--pool", type=Path, help="folder of the demo pool; not made when absent")
    told = parser.parse_args(argv)
    training, demo = split(load(assets.fetch(told.assets)))
    write_training(training, told.training)
    print(f"training pool: {len(training)} pairs in {told.training}")
    if told.pool:
        faults.write_pool([(item.pair, item.image) for item in demo], told.pool)
        print(f"demo pool: {told.pool}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
