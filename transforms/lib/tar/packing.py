"""How the bytes of a shard are packed, by its first bytes and by its name; and what it is when it is no tar."""

from __future__ import annotations

from collections.abc import Mapping

PLAIN = "plain"
PACKINGS: Mapping[str, tuple[bytes, ...]] = {
    "gzip": (b"\x1f\x8b",),
    "bzip2": (b"BZh",),
    "xz": (b"\xfd7zXZ\0",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),  # the latter: skippable
}
"""Packing -> the bytes with which files begin that are packed so (RFC 1952, bzip2, .xz format 1.2, RFC 8878)."""

_BY_SUFFIX = {
    ".tar": PLAIN,
    ".tgz": "gzip",
    ".tar.gz": "gzip",
    ".tbz": "bzip2",
    ".tbz2": "bzip2",
    ".tar.bz2": "bzip2",
    ".txz": "xz",
    ".tar.xz": "xz",
    ".tzst": "zstd",
    ".tar.zst": "zstd",
}
SUFFIXES = tuple(_BY_SUFFIX)
"""Of the names of shards, lower case."""

HEAD_BYTES = 512
"""Bytes that tell how a shard is packed, and what it is."""

_SERVER = "check the address and your access, and download it again"
_TEXTS: Mapping[bytes, str] = {
    b"version https://git-lfs": "a git-lfs pointer instead of the file; fetch the file with `git lfs pull`",
    b"<!doctype html": f"an HTML page, as a server sends it instead of a file; {_SERVER}",
    b"<html": f"an HTML page, as a server sends it instead of a file; {_SERVER}",
    b"<?xml": f"an XML document, as a store sends it for an error; {_SERVER}",
    b"<error": f"an XML document, as a store sends it for an error; {_SERVER}",
    b"{": f"JSON text; {_SERVER}",
}
_FORMATS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive; unpack it, and pack its files with tar",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it, and pack its files with tar",
    b"Rar!": "a rar archive; unpack it, and pack its files with tar",
    b"\x04\x22\x4d\x18": "packed with lz4; unpack it, or pack it with zstd",
    b"\x1f\x9d": "packed with compress; unpack it, or pack it with zstd",
    b"LZIP": "packed with lzip; unpack it, or pack it with xz",
    b"PAR1": "a Parquet file; give shards",
    b"ARROW1": "an Arrow file; give shards",
    b"\x89HDF": "an HDF5 file; give shards",
    b"\xff\xd8\xff": "a JPEG image; pack images and captions with tar",
    b"\x89PNG": "a PNG image; pack images and captions with tar",
}


def packing_of(head: bytes) -> str:
    """Returns how a file is packed that begins with these bytes: one of ``PACKINGS``, or ``plain``."""
    return next((packing for packing, magics in PACKINGS.items() if head.startswith(magics)), PLAIN)


def packing_by_name(name: str) -> str:
    """Returns how a file of this name should be packed; ``plain`` where the name does not say it."""
    lower = name.lower()
    return next((packing for suffix, packing in _BY_SUFFIX.items() if lower.endswith(suffix)), PLAIN)


def what_is(head: bytes) -> str:
    """Returns what a file is that is no tar, and what to do about it.

    Args:
      head: its first ``HEAD_BYTES``, unpacked; all where it has fewer.
    """
    if not head:
        return "an empty file; download it again"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = [what for magic, what in _TEXTS.items() if text.startswith(magic)]
    found += [what for magic, what in _FORMATS.items() if head.startswith(magic)]
    return found[0] if found else f"no tar; it begins with {head[:16]!r}"
