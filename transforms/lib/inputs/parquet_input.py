"""Parquet with image bytes, in the form of the Hub or of img2dataset: a file is a shard, a row a sample."""

from __future__ import annotations

import contextlib
import json
import math
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

import pyarrow as pa

from transforms.lib.errors import InputError, Reason, ShardError
from transforms.lib.inputs.input_kind import Files, ForwardStream, InputKind
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.samples.images import IMAGE_EXTENSIONS
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample

_PIECE_BYTES = 1 << 20  # of a column that are held; a row group may have gigabytes
_ROWS = 64  # that are held at once
_CAPTIONS = ("caption", "text", "txt", "TEXT", "CAPTION")
_KEYS = ("__key__", "key")
_IMAGES = ("image", "image_bytes", "image_data", "img", "img_bytes", *IMAGE_EXTENSIONS)
_MAGIC = {
    b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tiff", b"MM\0*": "tiff",
}  # fmt: skip
_UNREADABLE = "unreadable"  # extension of the member that stands for a row in a damaged row group


class _Columns(NamedTuple):
    """Which columns mean what.

    Attributes:
      images: columns with image bytes, the one that is scored first.
      caption: column of the ``.txt`` member; "" for none.
      key: column of keys; "" where rows are numbered.
      members: column with further members, in Winnow's own output; "" for none.
      fields: columns of the ``.json`` member.
    """

    images: tuple[str, ...]
    caption: str
    key: str
    members: str
    fields: tuple[str, ...]


def columns_of(schema: pa.Schema, uri: str) -> _Columns:
    """Finds the columns of a table by names and types.

    An image column is a struct with the field ``bytes`` (and ``path``), as the Hub stores images, or has binary values
    and the name of an image extension, as img2dataset stores them, or ``image``, ``image_bytes``, ``image_data``,
    ``img``, ``img_bytes``. Of several, ``image`` is scored, else
    the first in the order of ``IMAGE_EXTENSIONS``, else the first.

    Args:
      schema: of the table.
      uri: of its file, for the message.

    Raises:
      InputError: no column has image bytes.
    """
    preferred = ["image", *IMAGE_EXTENSIONS]
    images = [field.name for field in schema if _has_images(field)]
    if not images:
        raise InputError(f"{uri}: no column holds image bytes {_columns_and_cure(schema)}")
    images.sort(key=lambda name: preferred.index(name) if name in preferred else len(preferred))
    texts = {field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)}
    members = "members" if "members" in schema.names and pa.types.is_list(schema.field("members").type) else ""
    caption = next((name for name in _CAPTIONS if name in texts), "")
    key = next((name for name in _KEYS if name in texts), "")
    others = [field.name for field in schema if field.name not in (*images, members) and not _is_binary(field.type)]
    return _Columns(tuple(images), caption, key, members, tuple(others))


def _columns_and_cure(schema: pa.Schema) -> str:
    """Returns what a table without images has instead, and what to do about it."""
    columns = f"(columns: {', '.join(schema.names)[:200]})"
    binary = [field.name for field in schema if _is_binary(field.type)]
    if binary:
        return f"{columns}; give {binary[0]} the name `image` if it has them: table.rename_columns"
    return (
        f"{columns}; a table of addresses is downloaded first: "
        "img2dataset --input_format parquet --output_format webdataset"
    )


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _has_images(field: pa.Field) -> bool:
    if pa.types.is_struct(field.type):
        at = field.type.get_field_index("bytes")
        return at >= 0 and _is_binary(field.type.field(at).type)
    return _is_binary(field.type) and field.name.lower() in _IMAGES


class ParquetInput(InputKind):
    """A Parquet file is a shard, and its rows in their order are its samples.

    The key is the column ``__key__`` or ``key``, else the row's number in nine digits; a row whose key an earlier
    row has gets its number behind the key. The first image column is
    ``KEY.EXT``, with the extension of its path, else of its first bytes; others are ``KEY.COLUMN.EXT``. The caption
    (``caption``, ``text``, ``txt``, ``TEXT``) is ``KEY.txt``. All columns that are not binary are the fields of
    ``KEY.json``, into which an object in a text column ``json`` is merged.
    """

    name = "parquet"
    suffixes = (".parquet", ".parq")

    @contextlib.contextmanager
    def stream(self, uri: str, files: Files) -> Iterator[BinaryIO]:
        with files.open(uri) as file:
            try:
                table = ParquetReader(file, _PIECE_BYTES)
            except (pa.ArrowInvalid, OSError) as error:
                yield cast(BinaryIO, ForwardStream(_damaged(str(error))))
                return
            pieces = _samples(table, columns_of(table.schema, uri))
            yield cast(BinaryIO, ForwardStream(pieces))


def _damaged(detail: str) -> Iterator[bytes]:
    raise ShardError(Reason.TAR_CORRUPT, 0, f"no Parquet file: {detail}"[:200])
    yield b""


def _samples(table: ParquetReader, columns: _Columns) -> Iterator[bytes]:
    """Yields the tar bytes of every row, and the end mark; rows of a damaged group have no image."""
    names = [*columns.images, *columns.fields, *filter(None, [columns.members])]
    number = 0
    seen: set[str] = set()  # as large as what the reader of tars holds
    for group, rows in enumerate(table.group_rows()):
        stop = number + rows
        try:
            for batch in table.batches(names, _ROWS, group):
                for row in batch.to_pylist():
                    key = _key(number, row, columns)
                    yield _sample(f"{key}-{number:09d}" if key in seen else key, row, columns)
                    seen.add(key)
                    number += 1
        except (OSError, pa.ArrowInvalid) as error:
            detail = f"row group {group} is damaged: {error}"[:200].encode()
            while number < stop:
                yield write_sample(f"{number:09d}", [(_UNREADABLE, detail)])
                number += 1
    yield END_OF_ARCHIVE


def _key(number: int, row: Mapping[str, Any], columns: _Columns) -> str:
    named = row[columns.key] if columns.key else None
    return safe_key(named) if named else f"{number:09d}"


def _sample(key: str, row: Mapping[str, Any], columns: _Columns) -> bytes:
    members: dict[str, bytes] = {}
    for name in columns.images:
        data, path = row[name], ""
        if isinstance(data, dict):
            data, path = data["bytes"], data.get("path") or ""
        if data is not None:
            extension = _extension(name, path, data)
            members[extension if name == columns.images[0] else f"{name.lower()}.{extension}"] = data
    caption = row[columns.caption] if columns.caption else None
    if caption is not None:
        members["txt"] = caption.encode()
    for one in (row[columns.members] or ()) if columns.members else ():
        if one["data"] is not None:
            members[one["name"]] = one["data"]
    members.setdefault("json", json_bytes({name: row[name] for name in columns.fields}))
    return write_sample(key, members.items())


def safe_key(text: str) -> str:
    """Returns a text as a key: letters, digits, ``_`` and ``-`` stay, all else is quoted as in web addresses."""
    return urllib.parse.quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def json_bytes(fields: Mapping[str, Any]) -> bytes:
    """Returns a ``.json`` member: numbers that are no numbers are null, what JSON does not know is text.

    An object in the text field ``json`` is merged into the others, which come first.
    """
    found = dict(fields)
    inner: Any = None
    with contextlib.suppress(ValueError, TypeError):
        inner = json.loads(found.get("json") or "null")
    if isinstance(inner, dict):
        del found["json"]
        found = {**inner, **found}
    return json.dumps(_plain(found), ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _extension(name: str, path: str, data: bytes) -> str:
    """Returns the extension of an image: that of its path, else of the column's name, else of its first bytes."""
    known: Sequence[str] = IMAGE_EXTENSIONS
    ending = path.rpartition(".")[2].lower() if "." in path else name.lower()
    if ending in known:
        return ending
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), "jpg")
