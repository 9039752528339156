"""The files of a pool: what patterns mean as shards of one kind, and any shard opened as a tar."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError

from transforms.lib import addresses
from transforms.lib.errors import InputError, UnreadableError
from transforms.lib.inputs import folder_input, input_kinds
from transforms.lib.inputs.input_kind import Files
from transforms.storage import filesystem, patterns
from transforms.storage.client import FileInfo

_OF_THIS_MACHINE = (  # errors that say nothing of the shard
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG,
)  # fmt: skip
_SHOWN = 200  # characters of what was found


def _below(folder: str) -> list[FileInfo]:
    """Returns the files of a folder that are not hidden; those are in no pool of pictures."""
    found = filesystem.match([addresses.escaped(folder) + "/*"])[0]
    return [info for info in found if not addresses.has_hidden(info.uri[len(folder) :])]


@contextlib.contextmanager
def open_shard(uri: str, *, ranges: bool = False) -> Iterator[BinaryIO]:
    """Opens a shard of any kind as an uncompressed tar.

    Args:
      uri: as the pool names it.
      ranges: some byte ranges will be read rather than all of it.

    Raises:
      InputError: it cannot be read, or is another than was listed.
      MissingError: it is not there.
    """
    files = Files(filesystem.open_ranges if ranges else filesystem.open_read, _below)
    with input_kinds.kind_of(uri).stream(uri, files) as stream:
        yield stream


@contextlib.contextmanager
def readable(uri: str) -> Iterator[None]:
    """Turns the errors of opening and reading a shard, in a ``with`` block that does nothing else, into one of its own.

    Raises:
      UnreadableError: the shard is gone or locked, or its disk or store does not answer.
    """
    try:
        yield
    except (OSError, BeamIOError, InputError) as error:
        if isinstance(error, OSError) and error.errno in _OF_THIS_MACHINE:
            raise
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        for address in (uri, addresses.without_secrets(uri), addresses.without_query(uri)):
            said = said.replace(address, "it")
        line = " ".join(addresses.without_secrets(said).split())
        raise UnreadableError(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}...") from error


def exists(uri: str) -> bool:
    """Tells whether a shard is there, or, of a block of files, its folder."""
    return bool(_below(folder_input.folder_of(uri))) if folder_input.is_block(uri) else filesystem.exists(uri)


def size_of(uri: str) -> int | None:
    """Returns the bytes of a shard; None where it is not there, or a block of files is another than was listed."""
    if not folder_input.is_block(uri):
        present = filesystem.stat(uri)
        return None if present is None else present.size
    block = folder_input.find(uri, _below)
    return None if block is None else block.size


def shards_of(
    globs: Sequence[str], matched: Sequence[Sequence[FileInfo]], flag: str, tell: Callable[[str], None]
) -> list[FileInfo]:
    """Returns the shards among the files that patterns match, each once; tells of those that are left out.

    Of the kinds of input that one pattern matches, the first of ``input_kinds.ORDER`` is meant.

    Args:
      globs: the patterns.
      matched: what each matches.
      flag: that they were given to, for the messages.
      tell: gets a line for the user about files that are left out.

    Raises:
      InputError: no file is of a kind that is read, or a pattern matches some pictures of a folder.
    """
    hidden: set[FileInfo] = set()
    others: set[FileInfo] = set()
    alone: set[str] = set()
    taken: list[FileInfo] = []
    for glob, found in zip(globs, matched, strict=True):
        kinds = {info: input_kinds.kind_of_file(info.uri) for info in found}
        kind = next((name for name in input_kinds.ORDER if name in kinds.values()), None)
        meant = [info for info in found if kind and kinds[info] == kind]
        shards = patterns.without_hidden(glob, meant, hidden.add)
        grouped = kind is not None and input_kinds.kind_named(kind).groups
        others |= {info for info in found if info not in meant and not (grouped and folder_input.belongs(info.uri))}
        if not grouped:
            taken += shards
            continue
        seen = patterns.without_hidden(glob, found, lambda info: None)
        blocks, above = _blocks(shards, _tables(seen), flag, alone)
        taken += blocks
        alone |= _without_pictures(shards, seen) - above
    files = patterns.distinct(taken)
    hidden -= set(files)
    if not files and others:
        raise InputError(_no_shards(flag, sorted(others)))
    if hidden:
        first = min(hidden).uri
        tell(f"{flag}: {len(hidden)} hidden shards are left out ({first} ...); without wildcards they are taken")
    if others:
        tell(f"{flag}: {len(others)} files that are no shards are left out ({min(others).uri} ...)")
    if alone:
        tell(f"{flag}: {len(alone)} texts, json files and tables without a picture are left out ({min(alone)} ...)")
    return files


def _no_shards(flag: str, others: Sequence[FileInfo]) -> str:
    first = others[0].uri
    hint = input_kinds.hint_for(first) or "tars, Parquet files with image bytes, and folders of pictures are read"
    return f"{flag} matches {len(others)} files, but none that is read ({first} ...): {hint}"


def _folder(info: FileInfo) -> str:
    return info.uri.rpartition("/")[0] or "."


def _without_pictures(pictures: Sequence[FileInfo], found: Sequence[FileInfo]) -> set[str]:
    """Returns the texts, json files and tables that a pattern matches in folders that hold no picture."""
    folders = {_folder(info) for info in pictures}
    return {info.uri for info in found if folder_input.belongs(info.uri) and _folder(info) not in folders}


def _tables(found: Sequence[FileInfo]) -> dict[str, list[FileInfo]]:
    """Returns folder -> the tables in it that a pattern matches."""
    tables: dict[str, list[FileInfo]] = {}
    for info in found:
        if folder_input.is_table(info.uri):
            tables.setdefault(_folder(info), []).append(info)
    return tables


def _blocks(
    pictures: Sequence[FileInfo], tables: Mapping[str, list[FileInfo]], flag: str, alone: set[str]
) -> tuple[list[FileInfo], set[str]]:
    """Returns the blocks of the folders in which pictures lie, as if each were a file, and the tables of folders above.

    Args:
      pictures: that a pattern matches.
      tables: folder -> those that the pattern matches.
      flag: that it was given to, for the messages.
      alone: gets the texts, json files and tables of these folders that belong to no picture.

    Raises:
      InputError: some pictures of a folder are not among them.
    """
    named: dict[str, int] = {}
    for info in pictures:
        folder = _folder(info)
        named[folder] = named.get(folder, 0) + 1
    blocks = []
    above: set[str] = set()
    problems = []
    for folder, count in sorted(named.items()):
        found = _below(folder)
        there = sum(input_kinds.kind_of_file(info.uri) == "folder" for info in found)
        if there != count:
            some = f"{count} of the {there} pictures in {folder} are named"
            problems.append(f"{flag}: {some}; give the folder, {folder}/")
        alone |= {file.uri for file in folder_input.alone(found)}
        changed = {info.uri: info.updated for info in found}
        parents = range(1, folder.count("/") + 1)
        levels = next((n for n in parents if folder_input.above(folder, n) in tables), 0)
        outer = tables[folder_input.above(folder, levels)] if levels else []
        for block in folder_input.blocks_of(folder, found, levels, outer):
            latest = max(changed[file.uri] for file in block.files)
            blocks.append(FileInfo(block.uri, block.size, latest))
            above |= {table.uri for table in block.tables if block.inside}
    if problems:
        raise InputError(problems)
    return blocks, above
