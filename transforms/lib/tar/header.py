"""Fields of a 512-byte tar header and of the extension headers before it: pure functions of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import adler32

from transforms.lib.errors import Reason, ShardError

BLOCK_BYTES = 512


def check_header(block: bytes, offset: int) -> None:
    """Verifies length and checksum of a header block; signed sums, as old Sun tars have them, are accepted.

    Raises:
      ShardError: ``TAR_TRUNCATED`` or ``TAR_CORRUPT`` at ``offset``.
    """
    if len(block) != BLOCK_BYTES:
        raise ShardError(Reason.TAR_TRUNCATED, offset, f"a header of {len(block)} bytes")
    field = block[148:156]
    # Adler-32 carries 1 + the sum of the bytes in its low half, exactly so below 257 bytes.
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    computed = total - sum(field) + 256
    stored = number_of(field, offset)
    if stored != computed:
        high = sum(byte > 127 for byte in block[:148]) + sum(byte > 127 for byte in block[156:])
        if stored != computed - 256 * high:
            raise ShardError(Reason.TAR_CORRUPT, offset, "the checksum of a header does not fit")


def number_of(field: bytes, offset: int) -> int:
    """The value of a numeric field: octal digits, or base 256 behind a 0x80 byte.

    Raises:
      ShardError: ``TAR_CORRUPT`` at ``offset`` when it is neither, or negative.
    """
    try:
        value = int(field.rstrip(b"\0 "), 8)
    except ValueError:
        if field[0] & 0x80:
            value = int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
        else:
            try:
                value = int(field.partition(b"\0")[0].strip() or b"0", 8)
            except ValueError:
                value = -1
    if value < 0:
        raise ShardError(Reason.TAR_CORRUPT, offset, f"not a number: {field!r}")
    return value


def name_of(block: bytes) -> tuple[str, str]:
    """The name in a header block, ustar prefix included, and what is wrong with it (see ``checked_name``)."""
    raw = block[:100].partition(b"\0")[0]
    if block[345] and block[257:263] == b"ustar\0":
        raw = block[345:500].partition(b"\0")[0] + b"/" + raw
    return checked_name(raw)


def checked_name(raw: bytes) -> tuple[str, str]:
    """A stored name as text, and why no file may have it (empty: one may).

    Refused: names that are absolute, that have ``..`` for a folder, control characters (U+0000..1F,
    U+007F..9F) or bytes that are not UTF-8; the latter appear as backslash escapes.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), "its name is not UTF-8"
    if name.isprintable() and ".." not in name and name[:1] != "/":
        return name, ""
    if name[:1] == "/":
        return name, "its name is absolute"
    if ".." in name.split("/"):
        return name, "its name leaves the folder"
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in name):
        return name, "its name has control characters"
    return name, ""


def pax_records(payload: bytes, offset: int) -> Iterator[tuple[str, bytes]]:
    """The ``length keyword=value`` lines of a pax header that say something about name, size or sparseness.

    Keywords: ``path``, ``size``, ``GNU.sparse.name``, and ``GNU.sparse`` for all others that begin so. Lines
    with an empty value are left out, as POSIX asks; reading ends at a NUL.

    Raises:
      ShardError: ``TAR_CORRUPT`` at ``offset`` when a line is malformed.
    """
    position = 0
    while position < len(payload) and payload[position]:
        space = payload.find(b" ", position, position + 20)
        digits = payload[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        keyword, equals, value = payload[space + 1 : end].partition(b"=")
        if not equals or end > len(payload) or not value.endswith(b"\n"):
            raise ShardError(Reason.TAR_CORRUPT, offset, "a malformed pax header")
        if len(value) > 1 and keyword in (b"path", b"size", b"GNU.sparse.name"):
            yield keyword.decode(), value[:-1]
        elif keyword.startswith(b"GNU.sparse."):
            yield "GNU.sparse", value[:-1]
        position = end


def pax_size(value: bytes, offset: int) -> int:
    """The value of a pax ``size``: 1 to 20 decimal digits.

    Raises:
      ShardError: ``TAR_CORRUPT`` at ``offset`` when it is anything else.
    """
    if not value.isdigit() or len(value) > 20:
        raise ShardError(Reason.TAR_CORRUPT, offset, f"not a size: {value[:32]!r}")
    return int(value)


def split_name(name: str) -> tuple[str, str]:
    """Splits a member's name into key and extension as ``webdataset`` does.

    Args:
      name: as stored, with ``/`` between folders.

    Returns:
      Folder and base name up to the first dot of the base name, and the lower-cased rest after it. The key is
      empty when the base name has no dot or begins with one: such a member belongs to no sample. So do those
      whose first folder (or name) is ``__...__``, which ``webdataset`` keeps for itself, and ``Thumbs.db`` and
      ``desktop.ini``, which Windows puts into every folder of pictures.
    """
    base = name.rfind("/") + 1
    dot = name.find(".", base)
    if dot <= base or (name[0] == "_" and _is_meta(name)) or name[base:] in _OF_WINDOWS:
        return "", ""
    return name[:dot], name[dot + 1 :].lower()


_OF_WINDOWS = frozenset({"Thumbs.db", "desktop.ini"})


def _is_meta(name: str) -> bool:
    first = name.partition("/")[0]
    return len(first) >= 4 and first.startswith("__") and first.endswith("__")
