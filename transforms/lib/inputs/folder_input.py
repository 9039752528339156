"""Folders of files: pictures with texts and json beside them, or with a table, as Hugging Face's imagefolder has it."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

from transforms.lib.errors import InputError
from transforms.lib.inputs.input_kind import Files, FoundFile, InputKind, SeekableStream
from transforms.lib.inputs.parquet_input import json_bytes, safe_key
from transforms.lib.samples.images import IMAGE_EXTENSIONS
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member, write_sample

BLOCK_SAMPLES = 1000
"""Samples of a shard that is made of files."""

TABLES = ("metadata.csv", "metadata.jsonl")
_BESIDE = ("txt", "json")  # extensions of files that belong to a picture of the same name
_CAPTIONS = ("caption", "text")
_BLOCK = re.compile(r"(?P<folder>.*)/#(?P<number>\d{5,})-(?P<digest>[0-9a-f]{16})", re.DOTALL)
_ALIGN = 512


class Block(NamedTuple):
    """Some of the samples of a folder, which are one shard.

    Attributes:
      uri: ``FOLDER/#NUMBER-DIGEST``; the digest is that of the names and sizes of its files.
      number: of the block in its folder.
      files: in the order of the tar.
      size: bytes of all files.
    """

    uri: str
    number: int
    files: tuple[FoundFile, ...]
    size: int


def is_block(uri: str) -> bool:
    """Tells whether an address is that of a block of a folder."""
    return _BLOCK.fullmatch(uri) is not None


def folder_of(uri: str) -> str:
    """Returns the folder in which the files of a block lie."""
    found = _BLOCK.fullmatch(uri)
    assert found, uri
    return found["folder"]


def belongs(uri: str) -> bool:
    """Tells whether a file is a text, a json or a table beside pictures."""
    return _split(uri)[1] in _BESIDE or _name(uri) in TABLES


def blocks_of(folder: str, found: Sequence[FoundFile]) -> list[Block]:
    """Cuts a folder into blocks of ``BLOCK_SAMPLES`` pictures, sorted by name, with the files that belong to them.

    Args:
      folder: its address.
      found: the files directly below it.
    """
    by_stem: dict[str, list[FoundFile]] = {}
    for file in found:
        stem, extension = _split(file.uri)
        if stem and extension in (*IMAGE_EXTENSIONS, *_BESIDE):
            by_stem.setdefault(stem, []).append(file)
    stems = sorted(stem for stem, files in by_stem.items() if any(_split(f.uri)[1] in IMAGE_EXTENSIONS for f in files))
    tables = [file for file in found if _name(file.uri) in TABLES]
    blocks = []
    for number, start in enumerate(range(0, len(stems), BLOCK_SAMPLES)):
        files = [f for stem in stems[start : start + BLOCK_SAMPLES] for f in sorted(by_stem[stem], key=lambda f: f.uri)]
        listed = [(_name(file.uri), file.size) for file in [*files, *tables]]
        digest = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
        uri = f"{folder}/#{number:05d}-{digest}"
        blocks.append(Block(uri, number, tuple(files), sum(file.size for file in files)))
    return blocks


class FolderInput(InputKind):
    """A folder is cut into shards of 1,000 pictures in the order of their names; files of one name are one sample.

    ``x.txt`` and ``x.json`` belong to ``x.jpg``. A row of ``metadata.csv`` or ``metadata.jsonl`` in the same folder
    belongs to the picture that its ``file_name`` names: it is the ``.json`` member, and its ``caption`` or ``text``
    the ``.txt`` member, where there are no such files.
    """

    name = "folder"
    suffixes = tuple(f".{extension}" for extension in IMAGE_EXTENSIONS)
    groups = True

    @contextlib.contextmanager
    def stream(self, uri: str, files: Files) -> Iterator[BinaryIO]:
        folder = folder_of(uri)
        found = files.below(folder)
        block = next((block for block in blocks_of(folder, found) if block.uri == uri), None)
        if block is None:
            raise InputError(f"{folder}: its files have changed since they were listed; run `winnow score` again")
        rows = _rows(block, [file for file in found if _name(file.uri) in TABLES], files)
        extra = _members_of_rows(block, rows)
        sizes = [_size(file) + len(extra.get(number, b"")) for number, file in enumerate(block.files)]

        def make(number: int) -> bytes:
            if number == len(block.files):
                return END_OF_ARCHIVE
            file = block.files[number]
            with files.open(file.uri) as opened:
                data = opened.read()
            if len(data) != file.size:
                raise InputError(f"{file.uri} has changed since it was listed; run `winnow score` again")
            return write_member(_member(file), data) + extra.get(number, b"")

        yield cast(BinaryIO, SeekableStream([*sizes, len(END_OF_ARCHIVE)], make))


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _split(uri: str) -> tuple[str, str]:
    """Returns a file's name up to its last dot, empty for a hidden file, and what follows in lower case."""
    stem, _, extension = _name(uri).rpartition(".")
    return stem, extension.lower()


def _member(file: FoundFile) -> str:
    stem, extension = _split(file.uri)
    return f"{safe_key(stem)}.{extension}"


def _size(file: FoundFile) -> int:
    return len(write_member(_member(file), b"")) + -(-file.size // _ALIGN) * _ALIGN


def _rows(block: Block, tables: Sequence[FoundFile], files: Files) -> dict[str, Mapping[str, Any]]:
    """Returns the rows of the folder's tables that are about the pictures of a block, by the file's name."""
    wanted = {_name(file.uri) for file in block.files}
    found: dict[str, Mapping[str, Any]] = {}
    for table in tables:
        with files.open(table.uri) as opened:
            text = io.TextIOWrapper(cast(BinaryIO, io.BufferedReader(cast(Any, opened))), "utf-8-sig", newline="")
            lines: Iterator[Mapping[str, Any]] = _read(text, table.uri)
            found.update((row["file_name"], row) for row in lines if row.get("file_name") in wanted)
            text.detach()
    return found


def _read(text: io.TextIOWrapper, uri: str) -> Iterator[Mapping[str, Any]]:
    if uri.endswith(".csv"):
        yield from csv.DictReader(text)
        return
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError):
                raise InputError(f"{uri} line {number} is no JSON object; mend it") from None


def _members_of_rows(block: Block, rows: Mapping[str, Mapping[str, Any]]) -> dict[int, bytes]:
    """Returns number of a file -> the members that its row adds behind it."""
    names = {_member(file) for file in block.files}
    extra: dict[int, bytes] = {}
    last = {safe_key(_split(file.uri)[0]): number for number, file in enumerate(block.files)}
    for file in block.files:
        row = rows.get(_name(file.uri))
        if row is None:
            continue
        key = safe_key(_split(file.uri)[0])
        fields = {str(name): value for name, value in row.items() if name and name != "file_name"}
        caption = next((fields[name] for name in _CAPTIONS if isinstance(fields.get(name), str)), None)
        members = [] if f"{key}.json" in names else [("json", json_bytes(fields))]
        if caption is not None and f"{key}.txt" not in names:
            members.append(("txt", caption.encode("utf-8", "surrogatepass")))
        extra[last[key]] = write_sample(key, members) if members else b""
    return extra
