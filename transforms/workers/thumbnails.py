"""The pictures of a report: samples drawn from clusters, looked up in the index, their images read and shrunk."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence

import numpy as np

from transforms.lib import uids
from transforms.lib.byte_ranges import read_ranges
from transforms.lib.columnstore import columns
from transforms.lib.errors import SampleError
from transforms.lib.recipes import accounts
from transforms.lib.report import gallery, thumbnail
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

        def exhibit(row: int) -> accounts.Exhibit:
            return accounts.Exhibit(
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


def thumbnails(exhibits: Sequence[accounts.Exhibit], root: str) -> tuple[thumbnail.Thumbnail, ...]:
    """Looks exhibits up in the index below ``root``, and reads and shrinks their images.

    One that cannot be shown, whose tar is gone or never was, has an empty image.
    """
    captions: dict[int, str] = {}
    jpegs: dict[int, bytes] = {}
    for shard, uri in sorted({(exhibit.shard, exhibit.uri) for exhibit in exhibits}):
        numbers = [number for number, exhibit in enumerate(exhibits) if exhibit.shard == shard]
        rows = [exhibits[number].row for number in numbers]
        facts = Store(root).rows(columns.INDEX, shard, ["caption", "offset", "length", "image_extension"], rows)
        captions.update(zip(numbers, [fact["caption"] for fact in facts], strict=True))
        if any(fact["length"] for fact in facts) and pool_files.exists(uri):
            with pool_files.open_shard(uri, ranges=True) as tar:
                spans = [fact["offset"] for fact in facts], [fact["length"] for fact in facts]
                blocks = read_ranges(tar, *spans)
            extensions = [fact["image_extension"] for fact in facts]
            jpegs.update(zip(numbers, map(_thumbnail, blocks, extensions), strict=True))
    return tuple(
        thumbnail.Thumbnail(
            uid=exhibit.uid,
            caption=captions[number],
            score=exhibit.score,
            margin=exhibit.margin,
            kept=exhibit.step == "",
            step=exhibit.step,
            jpeg=jpegs.get(number, b""),
        )
        for number, exhibit in enumerate(exhibits)
    )


def _thumbnail(block: bytes, extension: str) -> bytes:
    try:
        sample = next(iter(read_samples(io.BytesIO(block))))
        return images.thumbnail(images.image_of(sample.members, extension)[1])
    except SampleError:
        return b""
