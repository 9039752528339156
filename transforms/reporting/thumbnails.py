"""The pictures of a report: samples drawn from clusters, looked up in the index, their images read and shrunk."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from transforms.lib import uids
from transforms.lib.byte_ranges import read_ranges
from transforms.lib.columnstore import columns
from transforms.lib.errors import SampleError
from transforms.lib.report import gallery, thumbnail
from transforms.lib.report.exhibit import Exhibit
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.lib.samples import images
from transforms.lib.tar.shard_samples import read_samples
from transforms.outputs.store import DECISIONS, Store
from transforms.storage import pool_files

_GALLERY_SEED = 13  # of the samples that are drawn from clusters


@dataclasses.dataclass(frozen=True)
class CountClusters:
    """Counts the clusters of a shard.

    Attributes:
      store: of clusters and decisions.
      name: the column set of clusters.
    """

    store: Store
    name: str

    def __call__(self, source: DecidedShard) -> gallery.Tally:
        place = {"cluster": (self.name, "cluster"), "similarity": (self.name, "similarity")}
        arrays = self.store.arrays(source.name, {**place, "copies": (DECISIONS, "copies")})
        return gallery.tally(arrays["cluster"], arrays["similarity"], arrays["copies"] > 0)


@dataclasses.dataclass(frozen=True)
class DrawExhibits:
    """Draws a shard's samples of the clusters to show, by the hashes of their uids.

    Attributes:
      store: of clusters and decisions.
      name: the column set of clusters.
    """

    store: Store
    name: str

    def __call__(self, source: DecidedShard, counts: gallery.Tally) -> gallery.Exhibits:
        store = self.store
        wanted = {
            "cluster": (self.name, "cluster"),
            "similarity": (self.name, "similarity"),
            "uid": (columns.INDEX, "uid"),
        }
        arrays = store.arrays(source.name, wanted)
        rank = uids.uniform(arrays["uid"], _GALLERY_SEED)
        drawn = {}
        for number in gallery.choose(counts):
            rows = np.flatnonzero(arrays["cluster"] == number)
            drawn[number] = rows[np.argsort(rank[rows], kind="stable")][: gallery.PICTURES]
        rows = np.concatenate([np.zeros(0, np.intp), *drawn.values()])
        facts = store.rows(DECISIONS, source.name, ["step", "margin"], rows.tolist())
        decided = dict(zip(rows.tolist(), facts, strict=True))

        def exhibit(row: int) -> Exhibit:
            return Exhibit(
                rank=float(rank[row]),
                uid=uids.to_hex(arrays["uid"][row : row + 1])[0],
                shard=source.name,
                row=row,
                uri=source.uri,
                score=float(arrays["similarity"][row]),
                margin=float(decided[row]["margin"]),
                step=decided[row]["step"],
            )

        return {number: tuple(map(exhibit, rows.tolist())) for number, rows in drawn.items() if len(rows)}


_LARGEST = 1 << 26  # bytes of a sample whose picture is shown; rejected ones may be of any size
_FACTS = ["key", "caption", "detail", "offset", "length", "image_extension"]


def thumbnails(exhibits: Sequence[Exhibit], root: str, pictures: str = "shown") -> tuple[thumbnail.Thumbnail, ...]:
    """Looks exhibits up in the index below a folder, and reads and shrinks their images.

    One that cannot be shown, whose tar is gone or never was, has an empty image.

    Args:
      exhibits: the samples; one that is there more than once is read once.
      root: the output folder.
      pictures: ``shown``, ``blurred``, or ``none``, which reads no image.
    """
    facts: dict[tuple[str, int], dict[str, Any]] = {}
    jpegs: dict[tuple[str, int], bytes] = {}
    for shard, uri in sorted({(exhibit.shard, exhibit.uri) for exhibit in exhibits}):
        rows = sorted({exhibit.row for exhibit in exhibits if exhibit.shard == shard})
        found = Store(root).rows(columns.INDEX, shard, _FACTS, rows)
        facts.update(((shard, row), fact) for row, fact in zip(rows, found, strict=True))
        placed = [(row, fact) for row, fact in zip(rows, found, strict=True) if 0 < fact["length"] <= _LARGEST]
        if placed and pictures != "none" and pool_files.exists(uri):
            with pool_files.open_shard(uri, ranges=True) as tar:
                blocks = read_ranges(
                    tar, [fact["offset"] for _, fact in placed], [fact["length"] for _, fact in placed]
                )
                for (row, fact), block in zip(placed, blocks, strict=True):
                    jpegs[shard, row] = _thumbnail(block, fact["image_extension"], pictures == "blurred")
    return tuple(
        thumbnail.Thumbnail(
            uid=exhibit.uid,
            key=fact["key"],
            caption=fact["caption"],
            score=exhibit.score,
            margin=exhibit.margin,
            kept=exhibit.step == "",
            step=exhibit.step,
            detail=fact["detail"],
            place=f"{exhibit.shard}, byte {fact['offset']:,}",
            jpeg=jpegs.get((exhibit.shard, exhibit.row), b""),
        )
        for exhibit in exhibits
        for fact in [facts[exhibit.shard, exhibit.row]]
    )


def _thumbnail(block: bytes, extension: str, blurred: bool) -> bytes:
    try:
        sample = next(iter(read_samples(io.BytesIO(block))), None)
        return images.thumbnail(images.image_of(sample.members, extension)[1], blurred=blurred) if sample else b""
    except SampleError:
        return b""
