"""The pictures of a report: samples looked up in the index, their images read and shrunk."""

from __future__ import annotations

import io
from collections.abc import Sequence

from transforms.lib.byte_ranges import read_ranges
from transforms.lib.columnstore import columns
from transforms.lib.errors import SampleError
from transforms.lib.recipes import accounts
from transforms.lib.report import thumbnail
from transforms.lib.samples import images
from transforms.lib.tar.reader import open_tar
from transforms.lib.tar.shard_samples import read_samples
from transforms.outputs.store import Store
from transforms.storage import filesystem


def thumbnails(exhibits: Sequence[accounts.Exhibit], root: str) -> tuple[thumbnail.Thumbnail, ...]:
    """Looks exhibits up in the index below ``root``, and reads and shrinks their images.

    One that cannot be shown, whose tar is gone or never was, has an empty image.
    """
    captions: dict[int, str] = {}
    jpegs: dict[int, bytes] = {}
    for shard, uri in sorted({(exhibit.shard, exhibit.uri) for exhibit in exhibits}):
        numbers = [number for number, exhibit in enumerate(exhibits) if exhibit.shard == shard]
        rows = [exhibits[number].row for number in numbers]
        facts = Store(root).rows(columns.INDEX, shard, ["caption", "offset", "length"], rows)
        captions.update(zip(numbers, [fact["caption"] for fact in facts], strict=True))
        if any(fact["length"] for fact in facts) and filesystem.exists(uri):
            with filesystem.open_ranges(uri) as file:
                spans = [fact["offset"] for fact in facts], [fact["length"] for fact in facts]
                blocks = read_ranges(open_tar(file, uri), *spans)
            jpegs.update(zip(numbers, map(_thumbnail, blocks), strict=True))
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


def _thumbnail(block: bytes) -> bytes:
    try:
        sample = next(iter(read_samples(io.BytesIO(block))))
        return images.thumbnail(images.image_of(sample.members)[1])
    except SampleError:
        return b""
