"""Reading on behind damage: the next sound header of a tar, and what a damaged one still says."""

from __future__ import annotations

from collections.abc import Iterator

from transforms.lib.errors import ShardError
from transforms.lib.tar.gaps import Gap, Shapes
from transforms.lib.tar.header import BLOCK_BYTES, check_header, name_of, number_of, split_name
from transforms.lib.tar.packing import HEAD_BYTES
from transforms.lib.tar.reader import LOOK_BACK_BYTES, Cursor

_MAGIC = b"ustar"
_MAGIC_AT = 257
_EXTENSIONS = (b"x", b"X", b"g", b"L", b"K")
_EXTENSION_NAMES = ("@PaxHeader", "@LongLink", "PaxHeaders")
_RECORD_BYTES = 20 * BLOCK_BYTES  # to which GNU tar, bsdtar and tarfile fill an archive with zeros


def is_end_mark(zeros: int, end: int) -> bool:
    """Tells whether zeros between members end an archive, rather than that members are missing.

    Args:
      zeros: how many bytes.
      end: the byte behind them, from the start of the archive that they may end. Two blocks end an archive (POSIX);
        tar programs fill its last record of 20 blocks.
    """
    return zeros == 2 * BLOCK_BYTES or (zeros > 2 * BLOCK_BYTES and end % _RECORD_BYTES == 0)


def is_sound(block: bytes) -> bool:
    """Tells whether a block is a header: magic of POSIX or GNU, checksum and size."""
    if block[_MAGIC_AT : _MAGIC_AT + 6] not in (b"ustar\0", b"ustar ") or len(block) != BLOCK_BYTES:
        return False
    try:
        check_header(block, 0)
        number_of(block[124:136], 0)
    except ShardError:
        return False
    return True


def damaged_header(block: bytes, offset: int, gap: Gap, shapes: Shapes) -> None:
    """Notes in a gap what a damaged block still says, if it was a header.

    Args:
      block: 512 bytes, fewer at the end of the tar.
      offset: of the block in the tar; behind the beginning of the gap where pax or GNU headers come first.
      gap: with its end.
      shapes: the extensions that members have.
    """
    block = block.ljust(BLOCK_BYTES, b"\0")
    name, problem = name_of(block)
    key, extension = split_name(name)
    known = bool(key) and not problem and shapes.has(extension)
    named_extension = any(mark in name for mark in _EXTENSION_NAMES)
    if not (known or named_extension or resembles_header(block)):
        return
    gap.trusted = True
    gap.extension = named_extension or block[156:157] in _EXTENSIONS
    if not gap.extension and not problem:
        gap.key = key
    try:
        gap.alone = offset + BLOCK_BYTES + (number_of(block[124:136], offset) + 511 & -512) == gap.end
    except ShardError:
        gap.alone = False


def resembles_header(block: bytes) -> bool:
    """Tells whether a block was a header before it was damaged: at least two of its fields look like those of one."""
    name = block[:100].rstrip(b"\0")
    fields = (
        0 < len(name) < 100 and b"\0" not in name and min(name) >= 32,
        _is_octal(block[100:108]),
        _is_octal(block[124:136]),
        _is_octal(block[148:156]),
        block[_MAGIC_AT : _MAGIC_AT + 5] == _MAGIC,
    )
    return sum(fields) >= 2


def behind_extensions(cursor: Cursor) -> bytes:
    """Moves behind sound pax and GNU headers to the header of the member itself, and behind that; returns it."""
    while is_sound(block := cursor.take(BLOCK_BYTES)) and block[156:157] in _EXTENSIONS:
        size = number_of(block[124:136], 0) + 511 & -512
        if size > LOOK_BACK_BYTES:
            break
        cursor.skip(size)
    return block


def _is_octal(field: bytes) -> bool:
    digits = field.strip(b"\0 ")
    return bool(digits) and not digits.strip(b"01234567")


def head_of(cursor: Cursor) -> bytes:
    """Returns the first bytes of a tar, with the cursor where it was; none where they are too far behind."""
    here = cursor.offset
    if here > LOOK_BACK_BYTES:
        return b""
    cursor.back(0)
    head = cursor.take(HEAD_BYTES)
    if cursor.offset < here:
        cursor.skip(here - cursor.offset)
    else:
        cursor.back(here)
    return head


def seek_header(cursor: Cursor, begin: int) -> bool:
    """Moves a cursor to the first sound header at or behind a byte, or to the end where there is none.

    Bytes may be missing, so headers are looked for at every byte, not only at every 512th.

    Args:
      cursor: its position is not before ``begin``, or at most ``LOOK_BACK_BYTES`` behind it.
      begin: bytes in the tar.
    """
    if begin > cursor.offset:
        cursor.skip(begin - cursor.offset)
    else:
        cursor.back(begin)
    data, start = b"", cursor.offset
    while piece := cursor.some():
        data += piece
        for place in _candidates(data):
            if is_sound(data[place : place + BLOCK_BYTES]):
                cursor.back(start + place)
                return True
        kept = max(0, len(data) - BLOCK_BYTES + 1)
        data, start = data[kept:], start + kept
    return False


def pass_member(cursor: Cursor) -> None:
    """Passes over a member, from its first header on."""
    while is_sound(block := cursor.take(BLOCK_BYTES)):
        cursor.skip(number_of(block[124:136], 0) + 511 & -512)
        if block[156:157] not in _EXTENSIONS:
            return
    cursor.back(cursor.offset - len(block))


def _candidates(data: bytes) -> Iterator[int]:
    """Yields where a whole block with the magic of a header begins."""
    at = data.find(_MAGIC, _MAGIC_AT)
    while at >= 0 and at - _MAGIC_AT + BLOCK_BYTES <= len(data):
        yield at - _MAGIC_AT
        at = data.find(_MAGIC, at + 1)


def swallowed_header(cursor: Cursor, begin: int, stop: int) -> int | None:
    """Finds a header inside the data of a member that is longer than what is left of it.

    Where bytes are missing inside a member, its size reaches into the members behind it. The members from there on must
    reach over ``stop``, or end at the end of the tar; those of a tar inside a tar do not.

    Args:
      cursor: anywhere not before ``stop``; it is there again afterwards.
      begin: the first byte of the member's data; looked at are the last ``LOOK_BACK_BYTES`` before ``stop``.
      stop: where the member ends by its size, or where the tar ends inside it.

    Returns:
      the offset of the header; None where there is none.
    """
    here = cursor.offset
    begin = max(begin, here - LOOK_BACK_BYTES)
    if begin >= stop:
        return None
    cursor.back(begin)
    data = cursor.take(stop - begin + BLOCK_BYTES)
    at_end = len(data) < stop - begin + BLOCK_BYTES
    if cursor.offset < here:
        cursor.skip(here - cursor.offset)
    else:
        cursor.back(here)
    dead: set[int] = set()
    for place in _candidates(data):
        if place >= stop - begin:
            break
        if is_sound(data[place : place + BLOCK_BYTES]) and _reaches(data, place, stop - begin, at_end, dead):
            return begin + place
    return None


def _reaches(data: bytes, place: int, stop: int, at_end: bool, dead: set[int]) -> bool:
    """Tells whether members that follow one another from ``place`` reach over ``stop``, or to the end of the tar.

    ``dead`` holds the places from which they do not, so that each is tried once.
    """
    while place < stop:
        if place in dead:
            return False
        dead.add(place)
        block = data[place : place + BLOCK_BYTES]
        if at_end and not block.strip(b"\0"):
            return True
        if len(block) == BLOCK_BYTES and not is_sound(block):
            return False
        if len(block) < BLOCK_BYTES:
            return not at_end
        place += BLOCK_BYTES + (number_of(block[124:136], 0) + 511 & -512)
    return place == stop == len(data) if at_end else place > stop


def behind_header(cursor: Cursor, gap: Gap, shapes: Shapes) -> bool:
    """Moves behind a damaged header, to the next one, and notes in the gap what the damaged one still says."""
    block, offset = b"", gap.begin
    if gap.begin >= cursor.offset - LOOK_BACK_BYTES:
        cursor.back(gap.begin)
        block = behind_extensions(cursor)
        offset = cursor.offset - len(block)
        gap.trusted = gap.trusted or offset > gap.begin  # a sound header is where the member before it ends
    unnamed = offset > gap.begin and is_sound(block)  # the headers that should name it are malformed
    if unnamed:
        cursor.back(offset)
    more = unnamed or seek_header(cursor, max(gap.begin + 1, cursor.offset - LOOK_BACK_BYTES))
    gap.end = cursor.offset
    damaged_header(block, offset, gap, shapes)
    if more and (unnamed or (gap.extension and gap.alone)):
        pass_member(cursor)
    return more
