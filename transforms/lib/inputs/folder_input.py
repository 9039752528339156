"""Folders of files: pictures with texts and json beside them, or with a table, as Hugging Face's imagefolder has it."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
_BLOCK = re.compile(r"(?P<folder>.*)/#(?P<number>\d{5,})(?:\^(?P<levels>\d+))?-(?P<digest>[0-9a-f]{16})", re.DOTALL)
_ALIGN = 512


class Block(NamedTuple):
    """Some of the samples of a folder, which are one shard.

    Attributes:
      uri: ``FOLDER/#NUMBER-DIGEST``, or ``FOLDER/#NUMBER^LEVELS-DIGEST`` where the table lies that many folders above;
        the digest is that of the names and sizes of its files and tables.
      number: of the block in its folder.
      files: in the order of the tar.
      size: bytes of all files.
      tables: that may have rows about its pictures.
      inside: what the names of its pictures begin with in these tables: empty, or the folders from the table's down to
        the block's, with a slash behind each.
    """

    uri: str
    number: int
    files: tuple[FoundFile, ...]
    size: int
    tables: tuple[FoundFile, ...] = ()
    inside: str = ""


def is_block(uri: str) -> bool:
    """Tells whether an address is that of a block of a folder."""
    return _BLOCK.fullmatch(uri) is not None


def folder_of(uri: str) -> str:
    """Returns the folder in which the files of a block lie."""
    found = _BLOCK.fullmatch(uri)
    assert found, uri
    return found["folder"]


def number_of(uri: str) -> str:
    """Returns the number of a block in its folder, in five digits or more."""
    found = _BLOCK.fullmatch(uri)
    assert found, uri
    return found["number"]


def find(uri: str, below: Callable[[str], Sequence[FoundFile]]) -> Block | None:
    """Returns a block as its folder has it now; None where that has other files than were listed.

    Args:
      uri: of the block.
      below: folder -> the files directly below it.
    """
    found = _BLOCK.fullmatch(uri)
    assert found, uri
    levels = int(found["levels"] or 0)
    tables = [file for file in below(above(found["folder"], levels)) if is_table(file.uri)] if levels else []
    return next(
        (one for one in blocks_of(found["folder"], below(found["folder"]), levels, tables) if one.uri == uri), None
    )


def above(folder: str, levels: int) -> str:
    """Returns the folder that lies ``levels`` above another."""
    return folder.rsplit("/", levels)[0]


def is_table(uri: str) -> bool:
    """Tells whether a file is a table of pictures, by its name."""
    return _name(uri) in TABLES


def belongs(uri: str) -> bool:
    """Tells whether a file is a text, a json or a table beside pictures."""
    return _split(uri)[1] in _BESIDE or is_table(uri)


def alone(found: Sequence[FoundFile]) -> list[FoundFile]:
    """Returns the texts, json and tables among the files of one folder that belong to no picture in it."""
    pictures = {_split(file.uri)[0] for file in found if _is_picture(file)}
    beside = [file for file in found if belongs(file.uri)]
    return [f for f in beside if not (pictures if is_table(f.uri) else _split(f.uri)[0] in pictures)]


def blocks_of(
    folder: str, found: Sequence[FoundFile], levels: int = 0, tables: Sequence[FoundFile] = ()
) -> list[Block]:
    """Cuts a folder into blocks of ``BLOCK_SAMPLES`` pictures, sorted by name, with the files that belong to them.

    Args:
      folder: its address.
      found: the files directly below it.
      levels: how many folders above it ``tables`` lie.
      tables: those of the nearest folder above that has some; read where the folder has none of its own.
    """
    own = [file for file in found if is_table(file.uri)]
    levels = 0 if own else levels
    listed_tables = [("../" * levels + _name(file.uri), file.size) for file in (own or tables)]
    inside = "".join(f"{part}/" for part in folder.split("/")[-levels:]) if levels else ""
    mark = f"^{levels}" if levels else ""
    by_stem: dict[str, list[FoundFile]] = {}
    for file in found:
        stem, extension = _split(file.uri)
        if stem and extension in (*IMAGE_EXTENSIONS, *_BESIDE):
            by_stem.setdefault(stem, []).append(file)
    stems = sorted(stem for stem, files in by_stem.items() if any(map(_is_picture, files)))
    blocks = []
    for number, start in enumerate(range(0, len(stems), BLOCK_SAMPLES)):
        files = [f for stem in stems[start : start + BLOCK_SAMPLES] for f in sorted(by_stem[stem], key=lambda f: f.uri)]
        listed = [*((_name(file.uri), file.size) for file in files), *listed_tables]
        digest = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
        uri = f"{folder}/#{number:05d}{mark}-{digest}"
        blocks.append(Block(uri, number, tuple(files), sum(f.size for f in files), tuple(own or tables), inside))
    return blocks


class FolderInput(InputKind):
    """A folder is cut into shards of 1,000 pictures in the order of their names; files of one name are one sample.

    ``x.txt`` and ``x.json`` belong to ``x.jpg``. A row of ``metadata.csv`` or ``metadata.jsonl`` in the same folder, or
    else in the nearest folder above that the pattern matches, belongs to the picture that its ``file_name`` names, as
    seen from the table: it is the ``.json`` member, and its ``caption`` or ``text`` the ``.txt`` member, where there
    are no such files.
    """

    name = "folder"
    suffixes = tuple(f".{extension}" for extension in IMAGE_EXTENSIONS)
    groups = True

    @contextlib.contextmanager
    def stream(self, uri: str, files: Files) -> Iterator[BinaryIO]:
        folder = folder_of(uri)
        block = find(uri, files.below)
        if block is None:
            raise InputError(f"{folder}: its files have changed since they were listed; run `winnow score` again")
        rows, unused = _rows(block, files.below(folder), files)
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

        yield cast(BinaryIO, SeekableStream([*sizes, len(END_OF_ARCHIVE)], make, unused))


def _name(uri: str) -> str:
    return uri.rpartition("/")[2]


def _split(uri: str) -> tuple[str, str]:
    """Returns a file's name up to its last dot, empty for a hidden file, and what follows in lower case."""
    stem, _, extension = _name(uri).rpartition(".")
    return stem, extension.lower()


def _is_picture(file: FoundFile) -> bool:
    return _split(file.uri)[1] in IMAGE_EXTENSIONS


def _member(file: FoundFile) -> str:
    stem, extension = _split(file.uri)
    return f"{safe_key(stem)}.{extension}"


def _size(file: FoundFile) -> int:
    return len(write_member(_member(file), b"")) + -(-file.size // _ALIGN) * _ALIGN


def _rows(block: Block, found: Sequence[FoundFile], files: Files) -> tuple[dict[str, Mapping[str, Any]], int]:
    """Returns the rows of tables that are about the pictures of a block, by the file's name.

    Args:
      block: of a folder.
      found: the files of the folder.
      files: how they are reached.

    Returns:
      the rows; and how many rows about this folder no block of it uses, which the first block alone counts. A row of a
      table is about the folder that its ``file_name`` leads to; one that leads to no picture's folder is about the
      table's own.
    """
    ours = {_name(file.uri) for file in block.files if _is_picture(file)}
    known = {_name(file.uri) for file in found if _is_picture(file)} if block.number == 0 else set()
    rows: dict[str, Mapping[str, Any]] = {}
    used: set[str] = set()
    unused = 0
    empty = functools.cache(
        lambda inside: not any(map(_is_picture, files.below(f"{folder_of(block.uri)}/{inside}"[:-1])))
    )
    for table in block.tables:
        for row in _read(table.uri, files):
            path = row.get("file_name")
            folder, name = _led_to(path if isinstance(path, str) else "")
            if folder != block.inside:
                unused += block.number == 0 and not block.inside and empty(folder)
                continue
            if name in ours:
                rows[name] = row
            if block.number == 0:
                unused += name not in known or name in used
                used |= {name} & known
    return rows, unused


def _led_to(path: str) -> tuple[str, str]:
    """Returns the folders that a ``file_name`` leads through, each with a slash, and the name at its end."""
    parts = [part for part in path.split("/") if part != "."]
    if not all(parts) or ".." in parts:
        return "", ""  # an absolute path, or one that leads out of the folder
    return "".join(f"{part}/" for part in parts[:-1]), parts[-1] if parts else ""


def _read(uri: str, files: Files) -> Iterator[Mapping[str, Any]]:
    """Yields the rows of a table.

    Raises:
      InputError: it is not UTF-8, or a row of it cannot be read.
    """
    with files.open(uri) as opened:
        text = io.TextIOWrapper(cast(BinaryIO, io.BufferedReader(cast(Any, opened))), "utf-8-sig", newline="")
        try:
            yield from csv.DictReader(text) if uri.endswith(".csv") else _json_lines(text, uri)
        except UnicodeDecodeError as error:
            raise InputError(f"{uri} is not UTF-8 ({error.reason}); convert it: iconv -t utf-8") from None
        except csv.Error as error:
            raise InputError(f"{uri}: {error}; write the rows to metadata.jsonl") from None
        finally:
            text.detach()


def _json_lines(text: io.TextIOWrapper, uri: str) -> Iterator[Mapping[str, Any]]:
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
