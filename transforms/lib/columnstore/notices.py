"""Notices: what is odd about samples that are used all the same, marked in the rows of a shard, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib.columnstore import columns
from transforms.lib.errors import Notice

PLACEHOLDER_CAPTIONS = 10
"""Different captions of one image in a shard that make it a placeholder: crawls have thousands, an album a few."""


def note(row: dict[str, Any], notices: Iterable[Notice]) -> None:
    """Adds notices to an index row; a rejected one gets none, as its reason says enough."""
    if row["status"] == columns.OK:
        present = {*filter(None, str(row["notices"]).split(",")), *(notice.value for notice in notices)}
        row["notices"] = ",".join(sorted(present))


def note_placeholders(rows: Sequence[dict[str, Any]]) -> None:
    """Marks the samples of a shard whose image comes with ``PLACEHOLDER_CAPTIONS`` different captions or more.

    Such an image, "not found" or a logo, has the same bytes everywhere, and says nothing about its captions.

    Args:
      rows: index rows of all samples of the shard; ``notices`` is updated.
    """
    valid = [row for row in rows if row["status"] == columns.OK and row["caption"]]
    often = {image for image, n in Counter(row["image_sha256"] for row in valid).items() if n >= PLACEHOLDER_CAPTIONS}
    of_image: dict[str, set[str]] = {image: set() for image in often}
    repeated = [row for row in valid if row["image_sha256"] in often]
    for row in repeated:
        of_image[row["image_sha256"]].add(row["caption"])
    for row in repeated:
        if len(of_image[row["image_sha256"]]) >= PLACEHOLDER_CAPTIONS:
            note(row, [Notice.PLACEHOLDER])


def count(column: pa.ChunkedArray) -> dict[str, int]:
    """Returns kind -> samples, of a column of notices; kinds in alphabetical order."""
    counts: Counter[str] = Counter()
    for row in pc.value_counts(column).to_pylist():
        for kind in filter(None, row["values"].split(",")):
            counts[kind] += row["counts"]
    return dict(sorted(counts.items()))


def sentences(counts: Mapping[str, int]) -> list[str]:
    """Returns one line for each kind of notice that was counted, the most frequent first."""
    known = {notice.value: notice.words for notice in Notice}
    order = sorted((kind for kind in counts if counts[kind]), key=lambda kind: (-counts[kind], kind))
    return [f"{counts[kind]} samples {known.get(kind, kind)} ({kind})" for kind in order]
