"""Tar output whose bytes depend on names and data alone: plain ustar headers, no times, no owners."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import adler32

from transforms.lib.errors import Reason, SampleError, ShardError
from transforms.lib.tar.dotted_names import shared_part
from transforms.lib.tar.header import BLOCK_BYTES, checked_name, split_name
from transforms.lib.tar.parser import members_in

END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)
"""Two zero blocks. Not padded to a record of 10 KiB: no reader of files needs that."""

_MAX_NAME_BYTES = 100
_MAX_OCTAL_SIZE = 8**11 - 1
_FILE_FIELDS = b"0000644\0" + b"0000000\0" * 2
_EXTENSION_FIELDS = b"0000000\0" * 3
_ZERO_TIME = b"00000000000\0"
_BLANK_CHECKSUM = b" " * 8
_MAGIC = (b"\0" * 100 + b"ustar\x0000").ljust(BLOCK_BYTES - 157, b"\0")


def write_member(name: str, data: bytes) -> bytes:
    """Builds one file member: header, data, padding.

    Mode 0644, uid, gid and mtime 0, empty owner names, type ``0``. A pax header comes before it only when the
    name is longer than 100 bytes or not ASCII, or the data are longer than 8 GiB - 1. The bytes are those of
    ``tarfile`` in its pax format.

    Args:
      name: not empty, relative, ``/`` between folders.
      data: any bytes.

    Returns:
      bytes, a multiple of 512 long.

    Raises:
      ValueError: a name that ``read_members`` would call unsafe.
    """
    stored = name.encode()
    if not name or checked_name(stored)[1]:
        raise ValueError(f"not a name for a file: {name!r}")
    size = len(data)
    records = b""
    if len(name) > _MAX_NAME_BYTES or not name.isascii():
        records += _pax_record(b"path", stored)
    if size > _MAX_OCTAL_SIZE:
        records += _pax_record(b"size", b"%d" % size)
    short = name.encode("ascii", "replace")[:_MAX_NAME_BYTES]
    header = _header(short, size if size <= _MAX_OCTAL_SIZE else 0, _FILE_FIELDS, b"0")
    padding = bytes(-size % BLOCK_BYTES)
    if not records:
        return b"".join((header, data, padding))
    extension = _header(b"././@PaxHeader", len(records), _EXTENSION_FIELDS, b"x")
    return b"".join((extension, records, bytes(-len(records) % BLOCK_BYTES), header, data, padding))


def members_of(block: bytes | memoryview) -> list[tuple[str, bytes]]:
    """Returns the members of one sample, without its key. Arguments and errors as ``sample_of``."""
    return sample_of(block)[1]


def sample_of(block: bytes | memoryview) -> tuple[str, list[tuple[str, bytes]]]:
    """Reads one sample out of its bytes in a tar.

    Directories and members that belong to no sample are left out.

    Args:
      block: exactly the bytes ``offset .. offset + length`` of a ``RawSample`` without a problem.

    Returns:
      its key, empty without members; and (lower-case extension, data), in the order of the tar.

    Raises:
      ShardError: ``block`` is not one whole sample (offsets relative to ``block``).
      SampleError: ``TAR_MEMBER_UNSAFE`` when a member must not be used.
    """
    old_key = ""
    found: list[tuple[str, bytes]] = []
    for member, data in members_in(bytes(block)):
        key, extension = split_name(member.name)
        if not key:
            continue
        if member.problem:
            raise SampleError(Reason.TAR_MEMBER_UNSAFE, f"{member.name!r}: {member.problem}")
        if key != (old_key or key):
            raise ShardError(Reason.TAR_CORRUPT, member.offset, f"{key!r} in the range of {old_key!r}")
        old_key = key
        found.append((extension, data))
    if found and "." in found[0][0] and (part := shared_part([extension for extension, _ in found])):
        return f"{old_key}.{part}", [(extension[len(part) + 1 :], data) for extension, data in found]
    return old_key, found


def write_sample(key: str, members: Iterable[tuple[str, bytes]]) -> bytes:
    """Builds one sample: a member, as ``write_member`` makes it, for each (extension, data).

    Args:
      key: no dot in its base name.
      members: lower-case extensions and data, in the order they are to have.

    Returns:
      bytes, a multiple of 512 long, to be followed by other members or ``END_OF_ARCHIVE``.

    Raises:
      ValueError: ``key`` cannot be a key.
    """
    if split_name(f"{key}.x") != (key, "x"):
        raise ValueError(f"not a key: {key!r}")
    return b"".join([write_member(f"{key}.{extension}", data) for extension, data in members])


def _header(name: bytes, size: int, fields: bytes, flag: bytes) -> bytes:
    front = b"".join((name.ljust(100, b"\0"), fields, b"%011o\0" % size, _ZERO_TIME))
    back = flag + _MAGIC
    checksum = (adler32(front) & 0xFFFF) + (adler32(back[:200]) & 0xFFFF) - 2 + sum(_BLANK_CHECKSUM)
    return b"".join((front, b"%06o\0 " % checksum, back))


def _pax_record(keyword: bytes, value: bytes) -> bytes:
    rest = len(keyword) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))  # the digits count themselves
    return b"%d %s=%s\n" % (length, keyword, value)
