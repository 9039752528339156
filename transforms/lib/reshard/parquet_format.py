"""Output shards as Parquet: one row per sample, for people who work with tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.lib.columnstore.columns import AppendOnly
from transforms.lib.errors import SampleError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.reshard.shard_format import Members, ShardFile, ShardFormat
from transforms.lib.samples import captions, images

_ROW_GROUP_BYTES = 1 << 26  # of members; a row group is held in memory

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("json", pa.string()),
        pa.field("image_extension", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("others", pa.map_(pa.string(), pa.binary()), nullable=False),
    ]
)
"""Columns of a shard.

``key`` is ``uid-copy``; ``caption`` the caption and ``json`` the json member as text, null where there is none that
can be read; ``image`` the encoded image and ``image_extension`` its extension, null where there is none; ``others``
every other member verbatim by extension, those of the caption and of json among them.
"""


def _row(key: str, members: Members) -> dict[str, Any]:
    by_extension = dict(members)
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row.update(key=key, uid=key.rpartition("-")[0])
    with contextlib.suppress(SampleError):
        row["image_extension"], row["image"] = images.image_of(by_extension)
    with contextlib.suppress(SampleError):
        row["caption"] = captions.caption_of(by_extension)
    with contextlib.suppress(KeyError, UnicodeDecodeError):
        row["json"] = by_extension["json"].decode()
    row["others"] = [(name, data) for name, data in members if name != row["image_extension"]]
    return row


class ParquetFormat(ShardFormat):
    """Parquet with the columns of ``SCHEMA``; row groups of at most 64 MiB and one sample."""

    name = "parquet"
    suffix = ".parquet"

    def write(self, samples: Iterable[tuple[str, Members]], sink: ShardFile) -> None:
        compression = {"image": "none", **dict.fromkeys(("key", "uid", "caption", "json"), "zstd")}
        options = {"compression": compression, "use_dictionary": False, "write_statistics": ["key", "uid"]}
        rows: list[dict[str, Any]] = []
        size = 0
        with pq.ParquetWriter(AppendOnly(sink.write), SCHEMA, **options) as writer:
            for key, members in samples:
                rows.append(_row(key, members))
                size += sum(len(data) for _, data in members)
                if size >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), row_group_size=len(rows))
                    rows, size = [], 0
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), row_group_size=len(rows))

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        file = ParquetReader(stream)
        for group in range(file.groups):
            for row in file.read(group=group).to_pylist():
                image = [(row["image_extension"], row["image"])] if row["image_extension"] else []
                yield row["key"], image + row["others"]
