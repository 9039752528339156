"""Byte streams under a tar: a forward-only cursor, and gzip and zstd input whose damage has a name.

Why gzip is unpacked here and not by the module ``gzip`` of the standard library: that module confuses data that end
early with data that are damaged, in 48 of 444 damaged files that were tried.
"""

from __future__ import annotations

import io
import sys
import zlib
from collections import deque
from typing import Any, BinaryIO, cast

from transforms.lib.addresses import without_query
from transforms.lib.errors import Reason, ShardError

CHUNK_BYTES = 1 << 20
LOOK_BACK_BYTES = 1 << 20
"""How far a ``Cursor`` can go back: a header that a damaged member swallowed is looked for so far."""

_COMPRESSED_CHUNK_BYTES = 1 << 16
_GZIP_WINDOW = 31  # zlib's code for "gzip header and 32 KiB window"


class Cursor:
    """Reads a binary stream in pieces of 1 MiB, and knows its position.

    Never seeks and never asks for more than ``CHUNK_BYTES`` at a time, so a size field that lies costs no more memory
    than the stream really holds. It goes forwards, and back by at most ``LOOK_BACK_BYTES``.

    Attributes:
      broken: why the stream gives no more bytes, when that is not its end: a compressed one that is cut or damaged.
    """

    __slots__ = ("_behind", "_behind_bytes", "_buffer", "_position", "_start", "_stream", "broken")

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._position = 0
        self._start = 0
        self._behind: deque[bytes] = deque()
        self._behind_bytes = 0
        self.broken: ShardError | None = None

    @property
    def offset(self) -> int:
        """Bytes of the stream before the next one that is read."""
        return self._start + self._position

    def take(self, count: int) -> bytes:
        """Returns the next ``count`` bytes, fewer only at the end of the stream."""
        begin = self._position
        end = begin + count
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[begin:end]
        sink = io.BytesIO()  # hands over what it holds without a copy
        self._advance(count, sink)
        return sink.getvalue()

    def skip(self, count: int) -> int:
        """Passes over ``count`` bytes without holding them; returns how many there were."""
        end = self._position + count
        if end <= len(self._buffer):
            self._position = end
            return count
        return self._advance(count, None)

    def skip_zeros(self) -> int:
        """Passes over zero bytes; returns how many there were."""
        count = 0
        while True:
            rest = self._buffer[self._position :]
            zeros = len(rest) - len(rest.lstrip(b"\0"))
            count += zeros
            self._position += zeros
            if zeros < len(rest) or not self._fill():
                return count

    def some(self) -> bytes:
        """Returns the bytes that come next, as many as are at hand; none at the end of the stream."""
        if self._position == len(self._buffer):
            self._fill()
        piece = self._buffer[self._position :]
        self._position = len(self._buffer)
        return piece

    def back(self, offset: int) -> None:
        """Goes back to a byte that was passed, at most ``LOOK_BACK_BYTES`` before the present one."""
        pieces = [self._buffer]
        while self._start > offset:
            piece = self._behind.pop()
            self._behind_bytes -= len(piece)
            self._start -= len(piece)
            pieces.append(piece)
        self._buffer = b"".join(pieces[::-1])
        self._position = offset - self._start

    def window(self) -> tuple[bytes, int, int]:
        """Returns the buffer, the position in it, and the offset in the stream of its first byte."""
        return self._buffer, self._position, self._start

    def move(self, position: int) -> None:
        """Sets the position in the buffer that ``window`` gave."""
        self._position = position

    def _fill(self) -> bool:
        """Replaces the buffer by what the stream gives next; returns False, and leaves it, where that is nothing."""
        piece = b""
        if self.broken is None:
            try:
                piece = self._stream.read(CHUNK_BYTES)
            except ShardError as error:
                self.broken = error
        if not piece:
            return False
        self._start += len(self._buffer)
        self._behind.append(self._buffer)
        self._behind_bytes += len(self._buffer)
        while self._behind_bytes - len(self._behind[0]) >= LOOK_BACK_BYTES:
            self._behind_bytes -= len(self._behind.popleft())
        self._buffer = piece
        self._position = 0
        return True

    def _advance(self, count: int, sink: io.BytesIO | None) -> int:
        missing = count
        while True:
            begin = self._position
            end = min(begin + missing, len(self._buffer))
            if sink is not None:
                sink.write(self._buffer[begin:end])
            missing -= end - begin
            self._position = end
            if not missing:
                return count
            if not self._fill():
                return count - missing


class DecompressedStream(io.RawIOBase):
    """Base of the decompressing streams: sequential, bounded reads; damage is a ``ShardError``.

    Subclasses give ``_some(limit)``: up to ``limit`` bytes, empty only at a complete end.

    Attributes:
      taken: compressed bytes that were read.

    Raises:
      ShardError: from ``read``, with the offset in the decompressed bytes: ``TAR_TRUNCATED`` when the
        compressed data end early, ``TAR_CORRUPT`` when they are damaged.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._given = 0
        self.taken = 0

    def _feed(self) -> bytes:
        """Returns the next compressed bytes."""
        piece = self._source.read(_COMPRESSED_CHUNK_BYTES)
        self.taken += len(piece)
        return piece

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        piece = self._some(size) if size else b""
        self._given += len(piece)
        return piece

    def readinto(self, buffer: Any, /) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()

    def _some(self, limit: int) -> bytes:
        raise NotImplementedError

    def _truncated(self) -> ShardError:
        return ShardError(Reason.TAR_TRUNCATED, self._given, "the compressed data end early")

    def _corrupt(self, error: Exception) -> ShardError:
        return ShardError(Reason.TAR_CORRUPT, self._given, f"the compressed data are damaged: {error}")


class GzipStream(DecompressedStream):
    """The decompressed bytes of one or more gzip members, checksums verified; zeros may follow them."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(source)
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._input = b""

    def _some(self, limit: int) -> bytes:
        while True:
            if self._inflater.eof and not self._next_member():
                return b""
            compressed = self._input or self._feed()
            try:
                piece = self._inflater.decompress(compressed, limit)
            except zlib.error as error:
                raise self._corrupt(error) from error
            self._input = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if piece:
                return piece
            if not compressed and not self._inflater.eof:
                raise self._truncated()

    def _next_member(self) -> bool:
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            compressed = self._feed()
            if not compressed:
                return False
            self._input = compressed.lstrip(b"\0")
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        return True


class ZstdStream(DecompressedStream):
    """The decompressed bytes of one or more zstd frames, checksums verified; skippable frames are passed over."""

    def __init__(self, source: BinaryIO) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd  # only where a shard is packed with zstd
        super().__init__(source)
        self._new_frame: Any = zstd.ZstdDecompressor
        self._error: type[Exception] = zstd.ZstdError
        self._frame = self._new_frame()

    def _some(self, limit: int) -> bytes:
        while True:
            compressed = b""
            if self._frame.eof:
                compressed = self._frame.unused_data or self._feed()
                if not compressed:
                    return b""
                self._frame = self._new_frame()
            elif self._frame.needs_input:
                compressed = self._feed()
                if not compressed:
                    raise self._truncated()
            try:
                piece: bytes = self._frame.decompress(compressed, limit)
            except self._error as error:
                raise self._corrupt(error) from error
            if piece:
                return piece


def open_tar(stream: BinaryIO, name: str) -> BinaryIO:
    """Opens the bytes of a tar by the suffix of its name; upper and lower case are alike.

    Args:
      stream: the stored bytes, read forwards only; closed with the result.
      name: ``.tar``, ``.tar.gz``, ``.tgz`` or ``.tar.zst`` at the end.

    Returns:
      A stream of the uncompressed tar: ``stream`` itself, or one that decompresses as it is read and whose
      ``read`` returns at most what was asked for. Damage is a ``ShardError`` from ``read``, which
      ``read_samples`` turns into its last sample.

    Raises:
      ValueError: another suffix.
    """
    lower = without_query(name).lower()
    if lower.endswith(".tar"):
        return stream
    if lower.endswith((".tar.gz", ".tgz")):
        return cast(BinaryIO, GzipStream(stream))
    if lower.endswith(".tar.zst"):
        return cast(BinaryIO, ZstdStream(stream))
    raise ValueError(f"{name}: not a .tar, .tar.gz, .tgz or .tar.zst")
