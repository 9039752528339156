"""The tar parser: members of a stream with their byte ranges, faster and stricter than ``tarfile``.

Formats: POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU (long names, base-256 sizes) and Unix v7.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple
from zlib import adler32

from transforms.lib.errors import Reason, ShardError
from transforms.lib.tar.header import (
    BLOCK_BYTES,
    check_header,
    checked_name,
    name_of,
    number_of,
    pax_records,
    pax_size,
)
from transforms.lib.tar.reader import Cursor
from transforms.lib.tar_limits import NO_LIMITS, TarLimits

_SHOWN_NAME = 200  # characters of a name that is too long
_PLAIN_FILE = ord("0")
_FILE = "file"
_DIRECTORY = "directory"
_KINDS = {
    b"0": _FILE,
    b"\0": _FILE,
    b"7": _FILE,
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "character device",
    b"4": "block device",
    b"5": _DIRECTORY,
    b"6": "fifo",
    b"S": "sparse file",
}


class Member(NamedTuple):
    """One member of a tar; all positions are bytes in the uncompressed tar.

    Attributes:
      name: as stored; bytes that are not UTF-8 appear as backslash escapes (and make the member unsafe).
      offset: its first header block, pax and GNU extension headers included.
      data_offset: its first byte of data.
      size: bytes of data.
      end: the first byte after its padding; a multiple of 512 from ``offset``.
      kind: ``file``, ``hard link``, ``symbolic link``, ``character device``, ``block device``, ``fifo``,
        ``sparse file`` or ``unknown type``.
      problem: why it must not be used (``TAR_MEMBER_UNSAFE``); empty for a plain file with a safe name.
    """

    name: str
    offset: int
    data_offset: int
    size: int
    end: int
    kind: str
    problem: str


class _Header(NamedTuple):
    name: str
    size: int
    kind: str
    problem: str


def read_members(stream: BinaryIO) -> Iterator[tuple[Member, bytes]]:
    """Iterates over the members of an uncompressed tar, in order, and stops at the first thing that is wrong.

    Directories are left out. The archive ends at two zero blocks, at one zero block that ends the stream, or
    where the stream ends after a complete member (``webdataset`` and interrupted writers leave such tars).

    Args:
      stream: read once, forwards, in large pieces.

    Yields:
      The member and its data; the data are empty when ``problem`` is set.

    Raises:
      ShardError: ``TAR_TRUNCATED`` when the stream ends early or is empty; ``TAR_CORRUPT`` at a bad checksum,
        an unreadable number, a malformed extension header or a lone zero block.
    """
    cursor = Cursor(stream)
    yield from scan(cursor, Progress(), sys.maxsize)
    offset = cursor.offset
    zeros = cursor.skip_zeros()
    if cursor.broken:
        raise cursor.broken
    if offset == zeros == 0:
        raise ShardError(Reason.TAR_TRUNCATED, 0, "an empty file")
    if zeros < 2 * BLOCK_BYTES and cursor.take(1):
        raise ShardError(Reason.TAR_CORRUPT, offset, "a lone zero block")


def members_in(block: bytes) -> Iterable[tuple[Member, bytes]]:
    """Returns the members of a tar that is in memory: as ``read_members``, and faster where all are plain."""
    cursor = Cursor(io.BytesIO(), block)
    plain = list(_plain_members(cursor, sys.maxsize))
    return plain if plain and cursor.offset == len(block) else read_members(io.BytesIO(block))


class Progress:
    """Where ``scan`` is.

    Attributes:
      name: of the member whose data are being read; empty between members.
      offset: the first header block of the member that is being read.
      data_offset: its first byte of data, once its name is known.
      shared: what global pax headers of this archive set.
      limits: of names and of pax and GNU headers.
    """

    __slots__ = ("data_offset", "limits", "name", "offset", "shared")

    def __init__(self, limits: TarLimits = NO_LIMITS) -> None:
        self.limits = limits
        self.name = ""
        self.offset = 0
        self.data_offset = 0
        self.shared: dict[str, bytes] = {}


def scan(cursor: Cursor, progress: Progress, max_data_bytes: int) -> Iterator[tuple[Member, bytes]]:
    """Iterates over members up to a block of zeros or the end of the stream, and stays there.

    Args:
      cursor: at a header.
      progress: updated; what was being read when an error came.
      max_data_bytes: longer data are passed over unread.

    Yields, Raises: as ``read_members``.
    """
    shared = progress.shared
    while True:
        progress.name = ""
        if not shared:
            yield from _plain_members(cursor, max_data_bytes)
        progress.offset = offset = cursor.offset
        block = cursor.take(BLOCK_BYTES)
        if not block[:1].strip(b"\0") and not block.strip(b"\0"):
            cursor.back(offset)
            return
        check_header(block, offset)
        name, size, kind, problem = _header(cursor, block, progress)
        if kind is _DIRECTORY:
            continue
        progress.name = name
        progress.data_offset = data_offset = cursor.offset
        end = data_offset + (size + 511 & -512)
        data = b""
        if not problem and size <= max_data_bytes:
            data = cursor.take(size)
        cursor.skip(end - cursor.offset)
        if cursor.offset != end:
            raise ShardError(Reason.TAR_TRUNCATED, cursor.offset, f"the data of {name!r} end early")
        yield Member(name, offset, data_offset, size, end, kind, problem), data


def _plain_members(cursor: Cursor, max_data_bytes: int) -> Iterator[tuple[Member, bytes]]:
    """The fast path: plain files with short, safe names that lie whole in the cursor's buffer.

    Stops before the first member that is anything else, or is not in order, and leaves it to ``scan``.
    """
    buffer, position, start = cursor.window()
    length = len(buffer)
    new = tuple.__new__
    try:
        while position + BLOCK_BYTES <= length:
            nul = buffer.find(0, position, position + 100)
            if nul <= position:  # no name, or one that fills its field
                break
            name = buffer[position:nul].decode()
            begin = position + BLOCK_BYTES
            block = buffer[position:begin]
            size = int(block[124:135], 8)
            end = begin + (size + 511 & -512)
            # Its low half is 1 + the sum of the bytes modulo 65521: wrong sums pass only if 65521 apart.
            total = adler32(block[156:], adler32(block[:148]))
            if (
                total & 0xFFFF != int(block[148:154], 8) - 255
                or end > length
                or not 0 <= size <= max_data_bytes
                or block[156] != _PLAIN_FILE
                or block[345]  # a prefix
                or block[135] & 0xDF  # neither NUL nor space: one more digit
                or block[154] & 0xDF
                or not name.isprintable()
                or ".." in name
                or name[0] == "/"
            ):
                break
            fields = (name, start + position, start + begin, size, start + end, _FILE, "")
            yield new(Member, fields), buffer[begin : begin + size]
            position = end
    except ValueError:  # from decode or int
        pass
    cursor.move(position)


def _header(cursor: Cursor, block: bytes, progress: Progress) -> _Header:
    """Reads the header of the member whose own or first extension header is ``block``.

    What global pax headers set in ``progress`` is updated.
    """
    own: dict[str, bytes] = {}
    while (flag := block[156:157]) in (b"x", b"X", b"g", b"L", b"K"):
        offset = cursor.offset - BLOCK_BYTES
        payload = _extension(cursor, block, offset, progress.limits.max_header_bytes)
        if flag == b"L":
            own["path"] = payload.partition(b"\0")[0]
        elif flag == b"g":
            progress.shared.update(pax_records(payload, offset))
        elif flag != b"K":
            own.update(pax_records(payload, offset))
        block = cursor.take(BLOCK_BYTES)
        check_header(block, cursor.offset - len(block))
    return _resolve(cursor, block, own, progress)


def _resolve(cursor: Cursor, block: bytes, own: dict[str, bytes], progress: Progress) -> _Header:
    shared = progress.shared
    offset = cursor.offset - BLOCK_BYTES
    flag = block[156:157]
    kind = _KINDS.get(flag, "unknown type")
    records = {**shared, **own}
    path = records.get("GNU.sparse.name", records.get("path"))
    name, problem = name_of(block) if path is None else checked_name(path[: progress.limits.max_name_bytes])
    if path is not None and len(path) > progress.limits.max_name_bytes:
        name, problem = name[:_SHOWN_NAME], f"its name has {len(path)} bytes"
    size = pax_size(records["size"], offset) if "size" in records else number_of(block[124:136], offset)
    if flag == b"\0" and name.endswith("/"):
        kind = _DIRECTORY
    if flag in b"123456":
        size = 0
    if flag == b"S":
        _skip_sparse_map(cursor, block)
    if "GNU.sparse" in records or "GNU.sparse.name" in records:
        kind = "sparse file"
    if kind is not _FILE and kind is not _DIRECTORY:
        problem = problem or f"a {kind}"
    elif not problem and any(keyword not in own for keyword in ("path", "size") if keyword in shared):
        problem = "a global header sets its name or size"  # its bytes alone would not say what it is
    return _Header(name, size, kind, problem)


def _extension(cursor: Cursor, block: bytes, offset: int, most: int) -> bytes:
    size = number_of(block[124:136], offset)
    if size > most:
        raise ShardError(Reason.TAR_CORRUPT, offset, f"an extension header of {size} bytes")
    padded = size + 511 & -512
    payload = cursor.take(padded)
    if len(payload) != padded:
        raise ShardError(Reason.TAR_TRUNCATED, cursor.offset, "an extension header ends early")
    return payload[:size]


def _skip_sparse_map(cursor: Cursor, block: bytes) -> None:
    more = block[482]
    while more:
        block = cursor.take(BLOCK_BYTES)
        if len(block) != BLOCK_BYTES:
            raise ShardError(Reason.TAR_TRUNCATED, cursor.offset, "a sparse map ends early")
        more = block[504]
