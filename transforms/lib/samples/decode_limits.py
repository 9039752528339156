"""What decoding an image may cost: limits that its header tells, and the memory of images that are decoded at once.

All limits follow from one number, the pixels allowed: 200 ns of CPU and 24 bytes of memory per pixel allowed, which is
18 seconds and 2 GiB for Pillow's own limit of 89 million pixels. `python -m benchmarks.decode_cost` prints the costs
per pixel; benchmarks/RESULTS.md has them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from transforms.lib.errors import Reason, SampleError

MAX_SCANS = 100
"""Scans of a JPEG. libjpeg's own script makes 10, optimisers some 20; each one may cost 2 ns per pixel."""
PLAIN_SHARE = 4
"""Plain-text PNM costs 860 ns per pixel, so that it may have a quarter of the pixels allowed."""
MEMORY_PER_PIXEL = 24
"""Bytes per pixel allowed that images decoded at once may take together; one alone is never held back."""
SMALL = 16 << 20
"""Bytes of an image that is decoded without a look at what others take."""

_MARK, _SCAN = 0xFF, 0xDA
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)  # start of frame, by ITU-T T.81, table B.1
WEBP_BYTES = 17
"""Bytes per pixel that Pillow takes to decode a WebP, eight of them from the moment at which it is opened."""
_BYTES = {"PPM": 16}  # per pixel, peak of decoding; of text
_OTHER_BYTES, _PROGRESSIVE_BYTES = 5, 10


def check_scans(data: bytes) -> int:
    """Checks the scans of a JPEG; returns the bytes per pixel that it takes to decode.

    Inside entropy-coded data 0xFF is followed by 0 or a restart mark, so the mark of a scan can be counted without a
    parser; a preview inside a metadata segment adds its own few scans.

    Args:
      data: the encoded JPEG.

    Raises:
      SampleError: ``IMAGE_TOO_COSTLY``.
    """
    if not _has_several_scans(data):
        return _OTHER_BYTES
    codes = np.frombuffer(data, np.uint8)
    scans = int(((codes[:-1] == _MARK) & (codes[1:] == _SCAN)).sum())
    if scans > MAX_SCANS:
        raise SampleError(Reason.IMAGE_TOO_COSTLY, f"{scans} scans, allowed {MAX_SCANS}")
    return _PROGRESSIVE_BYTES


def _has_several_scans(data: bytes) -> bool:
    """Returns whether libjpeg reads more than one scan: a progressive JPEG, or one whose first scan lacks a component.

    True where the segments before the first scan cannot be followed.
    """
    at, components = 2, 0
    while at + 10 <= len(data) and data[at] == _MARK:
        code, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        if code == _SCAN:
            return data[at + 4] < components
        if code in _PROGRESSIVE:
            return True
        if code in _SEQUENTIAL:
            components = data[at + 9]
        at += 1 if code == _MARK else 2 + length  # a mark may be filled up with further 0xFF
    return True


def check_plain(data: bytes, width: int, height: int, max_pixels: int) -> None:
    """Checks the size of a PNM whose pixels are text (P1, P2, P3), which is read number by number.

    Raises:
      SampleError: ``IMAGE_TOO_COSTLY``.
    """
    if data[:2] in (b"P1", b"P2", b"P3") and width * height > max_pixels // PLAIN_SHARE:
        raise SampleError(
            Reason.IMAGE_TOO_COSTLY,
            f"{width} x {height} pixels as text, allowed {max_pixels // PLAIN_SHARE}",
        )


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Returns width and height of a WebP by its first bytes (RFC 9649); None where they are not there."""
    head = data[:30]
    if len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        return 1 + (both & 0x3FFF), 1 + (both >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def bytes_per_pixel(form: str) -> int:
    """Returns the bytes per pixel that it takes to decode a format but JPEG and WebP, by Pillow's name of it."""
    return _BYTES.get(form, _OTHER_BYTES)


class _Memory:
    """What images that are being decoded in this process take."""

    def __init__(self) -> None:
        self._taken = 0
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int, limit: int) -> Iterator[None]:
        if size < SMALL:
            yield
            return
        with self._freed:
            while self._taken and self._taken + size > limit:
                self._freed.wait()
            self._taken += size
        try:
            yield
        finally:
            with self._freed:
                self._taken -= size
                self._freed.notify_all()


_MEMORY = _Memory()  # memory belongs to the process, whichever thread decodes


def memory(size: int, max_pixels: int) -> contextlib.AbstractContextManager[None]:
    """Waits until the other images that this process decodes leave room for one more, and holds that room.

    Args:
      size: bytes that decoding takes.
      max_pixels: pixels allowed of one image; together they may take ``MEMORY_PER_PIXEL`` for each.
    """
    return _MEMORY.take(size, max_pixels * MEMORY_PER_PIXEL)
