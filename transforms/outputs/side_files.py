"""What is written beside output shards, and where: a place in which no reader of the shards takes it for a shard.

Readers of whole folders (pandas, pyarrow, polars, Hugging Face datasets) take every file of the folder for a shard, so
statistics lie in a folder of their own. Only beside tars there are files: open_clip looks for ``sizes.json`` there, and
DataComp's loader for ``meta.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transforms.lib import stamps
from transforms.lib.reshard import card, croissant, readers
from transforms.lib.reshard.held import Held
from transforms.outputs import file_rows
from transforms.rows import FileRow
from transforms.storage import filesystem

STATS = "shard_stats"
"""Folder of the statistics of output shards, below the output folder: one file for each shard, and ``SUMMARY``."""
SUMMARY = f"{STATS}/summary.json"
CARD, CROISSANT = "README.md", "croissant.json"
BESIDE = ("README.md", "sizes.json", "meta.json", "sample_ids.npy", "_stats.json")
"""Ends of the names of files that are, or in Winnow 0.1 were, beside shards of some form."""

TARS = "webdataset"
"""The form beside whose shards loaders look for files."""


def stats_path(number: int) -> str:
    """Returns the path of an output shard's statistics below the output folder."""
    return f"{STATS}/{number:08d}.json"


def write_summary(root: str, form: str, sizes: Mapping[str, int], held: Held) -> FileRow:
    """Writes what the output holds.

    Args:
      root: the output folder.
      form: of the shards, one of ``shard_formats.NAMES``.
      sizes: name of each shard -> samples in it.
      held: the counts of the samples.
    """
    samples = sum(sizes.values())
    document = {
        "format": form,
        "images": [[*key, count] for key, count in held.images.items()],
        "members": held.members,
        "pickles_left_out": held.pickles,
        "samples": samples,
        "shards": len(sizes),
        "warnings": readers.warnings(form, [*sizes.values()], held),
    }
    return file_rows.write(root, SUMMARY, stamps.canonical(document).encode())


def read_summary(root: str) -> dict[str, Any] | None:
    """Returns what ``write_summary`` wrote, or of an output of Winnow 0.1 the number of shards; None without shards."""
    data = filesystem.read_if_exists(filesystem.join(root, SUMMARY))
    if data is not None:
        return dict(json.loads(data))
    sizes = filesystem.read_if_exists(filesystem.join(root, "shards/sizes.json"))
    return None if sizes is None else {"shards": len(json.loads(sizes))}


def write_cards(root: str, form: str, suffix: str, sizes: Mapping[str, int], held: Held) -> list[FileRow]:
    """Writes the dataset card and the Croissant metadata of the output; beside tars a card too, for that folder alone.

    Args:
      root: the output folder.
      form: of the shards, one of ``shard_formats.NAMES``.
      suffix: of the shards.
      sizes: name of each shard -> samples in it.
      held: the counts of the samples.
    """
    samples, shards = sum(sizes.values()), len(sizes)
    warnings = readers.warnings(form, [*sizes.values()], held)
    metadata = croissant.document(form, f"shards/*{suffix}", samples, shards)
    rows = [file_rows.write(root, CROISSANT, json.dumps(metadata, indent=1, sort_keys=True).encode() + b"\n")]
    for folder in ("", "shards/") if form == TARS else ("",):
        path = f"{'' if folder else 'shards/'}*{suffix}"
        text = card.card(form, path, samples, shards, held, warnings)
        rows.append(file_rows.write(root, f"{folder}{CARD}", text.encode()))
    return rows


def write_for_loaders(root: str, suffix: str, sizes: Mapping[str, int], blurred: int) -> list[FileRow]:
    """Writes what the loaders of tars look for beside them.

    These are ``sizes.json`` (shard name -> samples), which open_clip sums up, and ``meta.json``, by which DataComp's
    loader finds the shards.

    Args:
      root: the output folder.
      suffix: of the shards.
      sizes: name of each shard -> samples in it.
      blurred: samples whose faces were blurred.
    """
    meta = {
        "output_shard_count": len(sizes),
        "output_shard_format": "{:08d}" + suffix,
        "output_count": sum(sizes.values()),
        "blur_count": blurred,
    }
    documents: dict[str, Mapping[str, Any]] = {"sizes.json": sizes, "meta.json": meta}
    return [
        file_rows.write(root, f"shards/{name}", stamps.canonical(document).encode())
        for name, document in documents.items()
    ]
