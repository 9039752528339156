"""Blocks for the laws: rows as steps and annotators see them, with all that makes trouble, and any split of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import EMBEDDING, FLAG, TEXT

DIM = 4
CLUSTERS = 5
_WORDS = np.array(["a dog", "hot dog", "ein Hund schläft", "", "bird, cat", "entity of a long caption"], object)


def unit(seed: int, rows: int) -> NDArray[np.float16]:
    """Returns unit embeddings, float16 ``[rows, DIM]``."""
    values = np.random.default_rng(seed).normal(size=(rows, DIM))
    found: NDArray[np.float16] = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
    return found


def table(
    rows: int, seed: int, files: Mapping[str, str] | None = None, wanted: Mapping[str, str] | None = None
) -> Block:
    """Returns a block of every column that an example reads: equal scores among them, invalid rows and dropped ones.

    Rows have uids of their own; nothing in it can be written to.

    Args:
      rows: how many.
      seed: of the values.
      files: ``label.parameter`` -> path.
      wanted: other columns, by what they hold, one of the words of ``Step.input_types``.
    """
    random = np.random.default_rng(seed)
    valid, copies = random.random(rows) < 0.9, random.integers(0, 3, rows).astype(np.uint16)
    has_score = valid | (random.random(rows) < 0.5)  # a row may be invalid for another reason than its score
    digest = np.array([f"{number:064x}" for number in range(rows)], object)
    columns: dict[str, NDArray[Any]] = {
        "uid": random.integers(0, 1 << 63, (rows, 2), dtype=np.uint64),
        "score": np.where(has_score, random.integers(-3, 4, rows) / 4, np.nan).astype(np.float32),
        "other": np.where(has_score, random.normal(size=rows), np.nan).astype(np.float32),
        "index.caption": random.choice(_WORDS, rows),
        "index.image_sha256": digest,
        "index.original_width": random.integers(0, 900, rows).astype(np.int32),
        "index.original_height": random.integers(0, 900, rows).astype(np.int32),
        "caption.words": random.integers(0, 6, rows).astype(np.int32),
        "caption.characters": random.integers(0, 12, rows).astype(np.int32),
        "language.label": random.choice(np.array(["en", "de", ""], object), rows),
        "dedup_exact.duplicate_of": random.choice(np.array(["", "", "x"], object), rows),
        "dedup_exact.similarity": random.random(rows).astype(np.float32),
        "c.cluster": random.integers(0, CLUSTERS, rows).astype(np.int32),
        "c.similarity": (random.integers(0, 5, rows) / 4).astype(np.float32),
        "c.margin": random.random(rows).astype(np.float32),
        "image": unit(seed + 1, rows),
    }
    urls = np.array(["", "https://a.example.org/1.jpg", "http://b.net/advert/2.png"], object)
    columns |= {
        "index.phash": random.integers(0, 1 << 4, rows).astype(np.uint64) ^ np.uint64(0x00FF00FF00FF00FF),
        "index.width": random.integers(0, 2, rows).astype(np.int32),
        "index.url": random.choice(urls, rows),
        "index.opt_out": random.choice(np.array(["", "noai"], object), rows),
        "noai": random.random(rows) < 0.5,
    }
    columns |= {"net.score": columns["other"], "net.image": columns["image"], "net.text": unit(seed + 2, rows)}
    for name, holds in (wanted or {}).items():
        if name not in columns:
            columns[name] = _any(holds, rows, random, valid)
    return frozen(Block("all", columns, valid, np.where(valid, copies, 0).astype(np.uint16), files or {}))


def _any(holds: str, rows: int, random: np.random.Generator, valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Returns values of a column that no example of Winnow's own reads."""
    if holds == TEXT:
        return random.choice(_WORDS, rows)
    if holds == EMBEDDING:
        return unit(7, rows)
    if holds == FLAG:
        return random.random(rows) < 0.5
    return np.where(valid, random.integers(-3, 4, rows) / 4, np.nan).astype(np.float32)


def frozen(block: Block) -> Block:
    """Returns the block; whoever writes to its arrays gets an error."""
    for array in (*block.columns.values(), block.valid, block.copies):
        array.setflags(write=False)
    return block


def rows_of(block: Block, rows: NDArray[np.integer[Any]], shard: str) -> Block:
    """Returns a block of some rows of another."""
    columns = {name: values[rows] for name, values in block.columns.items()}
    return frozen(Block(shard, columns, block.valid[rows], block.copies[rows], block.files))


def split(block: Block, random: np.random.Generator) -> list[Block]:
    """Returns the rows of a block as shards: in any order, in 2 to 7 shards of any size, none of them the same."""
    order = random.permutation(len(block.valid))
    cuts = np.sort(random.integers(0, len(order) + 1, random.integers(1, 7)))
    return [rows_of(block, rows, f"{number:05}") for number, rows in enumerate(np.split(order, cuts))]


def only(block: Block, names: Iterable[str]) -> Block:
    """Returns the block with the columns ``names`` and no other."""
    return dataclasses.replace(block, columns={name: block.columns[name] for name in names})
