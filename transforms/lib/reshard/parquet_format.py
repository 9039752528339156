"""Output shards as Parquet in the form of the Hugging Face Hub: one row per sample, the image as bytes and path."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.lib.errors import SampleError
from transforms.lib.parquet_files import AppendOnly, ParquetReader
from transforms.lib.reshard.shard_format import Members, ShardFile, ShardFormat
from transforms.lib.samples import captions, images

_ROW_GROUP_BYTES = 1 << 26  # of members; a row group is held in memory

# What `datasets` reads the features from. It derives the other columns from their types, in every version.
_FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}

SCHEMA = pa.schema(
    [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("caption", pa.string()),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("json", pa.string()),
        pa.field("members", pa.list_(pa.struct([("name", pa.string()), ("data", pa.binary())])), nullable=False),
    ],
    metadata={"huggingface": json.dumps(_FEATURES)},
)
"""Columns of a shard.

``image`` is the encoded image, and the name it would have as a file, as ``datasets.Image`` stores it; null where a
sample has none. ``caption`` is the caption and ``json`` the json member as text, null where there is none that can be
read. ``key`` is ``uid-copy``. ``members`` names every member by its extension, in order; its ``data`` are null where
``image``, ``caption`` or ``json`` holds the same bytes.
"""

_TEXTS = (("txt", "caption"), ("json", "json"))  # member, and the column that holds its text


def _row(key: str, members: Members) -> dict[str, Any]:
    by_extension = dict(members)
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row.update(key=key, uid=key.rpartition("-")[0])
    stored: dict[str, bytes] = {}
    with contextlib.suppress(SampleError):
        extension, data = images.image_of(by_extension)
        row["image"] = {"bytes": data, "path": f"{key}.{extension}"}
        stored[extension] = data
    with contextlib.suppress(SampleError):
        row["caption"] = captions.caption_of(by_extension)
        stored["txt"] = row["caption"].encode()
    with contextlib.suppress(KeyError, UnicodeDecodeError):
        row["json"] = by_extension["json"].decode()
        stored["json"] = by_extension["json"]
    row["members"] = [(name, None if stored.get(name) == data else data) for name, data in members]
    return row


def _members(row: dict[str, Any]) -> Members:
    """Returns what ``_row`` was given."""
    stored = {name: row[column].encode() for name, column in _TEXTS if row[column] is not None}
    if row["image"]:
        stored[row["image"]["path"].partition(".")[2]] = row["image"]["bytes"]
    return [(one["name"], stored[one["name"]] if one["data"] is None else one["data"]) for one in row["members"]]


def _members_0_1(row: dict[str, Any]) -> Members:
    """Returns the members of a row of Winnow 0.1, where ``others`` was a map and ``image`` was bytes."""
    image = [(row["image_extension"], row["image"])] if row["image_extension"] else []
    return [*image, *row["others"]]


class ParquetFormat(ShardFormat):
    """Parquet with the columns of ``SCHEMA`` and then the scores; row groups of at most 64 MiB and one sample."""

    name = "parquet"
    suffix = ".parquet"
    finds_images_by_name = False
    holds_columns = True

    def write(self, samples: Iterable[tuple[str, Members]], sink: ShardFile, beside: pa.Table | None = None) -> None:
        texts = ("caption", "uid", "key", "json", "members.list.element.name")
        compression = {"image.bytes": "none", "image.path": "zstd", **dict.fromkeys(texts, "zstd")}
        options = {"compression": compression, "use_dictionary": False, "write_statistics": ["key", "uid"]}
        schema = SCHEMA if beside is None else pa.schema([*SCHEMA, *beside.schema], metadata=SCHEMA.metadata)
        names = schema.names[len(SCHEMA.names) :]
        rows: list[dict[str, Any]] = []
        written = size = 0

        def flush() -> None:
            nonlocal rows, written, size
            table = pa.Table.from_pylist(rows, schema=SCHEMA)
            for name, column in zip(names, [] if beside is None else beside.columns, strict=True):
                table = table.append_column(schema.field(name), column.slice(written, len(rows)))
            writer.write_table(table, row_group_size=len(rows))
            rows, written, size = [], written + len(rows), 0

        with pq.ParquetWriter(AppendOnly(sink.write), schema, write_page_checksum=True, **options) as writer:
            for key, members in samples:
                rows.append(_row(key, members))
                size += sum(len(data) for _, data in members)
                if size >= _ROW_GROUP_BYTES:
                    flush()
            if rows:
                flush()

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        file = ParquetReader(stream)
        members_of = _members_0_1 if "others" in file.schema.names else _members
        for group in range(file.groups):
            for row in file.read(group=group).to_pylist():
                yield row["key"], members_of(row)
