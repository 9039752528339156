"""Byte streams under a tar: a forward-only cursor, and gzip and zstd input whose damage has a name."""

from __future__ import annotations

import io
import zlib
from collections.abc import Generator
from typing import Any, BinaryIO, cast

from transforms.lib.errors import Reason, ShardError

CHUNK_BYTES = 1 << 20
_COMPRESSED_CHUNK_BYTES = 1 << 16
_GZIP_WINDOW = 31  # zlib's code for "gzip header and 32 KiB window"


class Cursor:
    """Reads a binary stream once, forwards, in pieces of 1 MiB, and knows its position.

    Never seeks and never asks for more than ``CHUNK_BYTES`` at a time, so a size field that lies costs no
    more memory than the stream really holds.

    Attributes:
      offset: bytes taken or skipped so far.
      ended: the end-of-archive marker was seen.
    """

    __slots__ = ("_buffer", "_position", "_start", "_stream", "ended")

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._position = 0
        self._start = 0
        self.ended = False

    @property
    def offset(self) -> int:
        return self._start + self._position

    def take(self, count: int) -> bytes:
        """Returns the next ``count`` bytes, fewer only at the end of the stream."""
        begin = self._position
        end = begin + count
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[begin:end]
        pieces: list[bytes] = []
        self._advance(count, pieces)
        return b"".join(pieces)

    def skip(self, count: int) -> int:
        """Passes over ``count`` bytes without holding them; returns how many there were."""
        end = self._position + count
        if end <= len(self._buffer):
            self._position = end
            return count
        return self._advance(count, None)

    def window(self) -> tuple[bytes, int, int]:
        """Returns the buffer, the position in it, and the offset in the stream of its first byte."""
        return self._buffer, self._position, self._start

    def move(self, position: int) -> None:
        """Sets the position in the buffer that ``window`` gave."""
        self._position = position

    def drain(self) -> None:
        """Reads a compressed stream to its end, so that its checksum is verified."""
        if isinstance(self._stream, DecompressedStream):
            while self._stream.read(CHUNK_BYTES):
                pass

    def _advance(self, count: int, pieces: list[bytes] | None) -> int:
        missing = count
        while True:
            begin = self._position
            end = min(begin + missing, len(self._buffer))
            if pieces is not None:
                pieces.append(self._buffer[begin:end])
            missing -= end - begin
            self._position = end
            if not missing:
                return count
            piece = self._stream.read(CHUNK_BYTES)
            if not piece:
                return count - missing
            self._start += len(self._buffer)
            self._buffer = piece
            self._position = 0


class DecompressedStream(io.RawIOBase):
    """Base of the decompressing streams: sequential, bounded reads; damage is a ``ShardError``.

    Subclasses give ``_some(limit)``: up to ``limit`` bytes, empty only at a complete end.

    Raises:
      ShardError: from ``read``, with the offset in the decompressed bytes: ``TAR_TRUNCATED`` when the
        compressed data end early, ``TAR_CORRUPT`` when they are damaged.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._given = 0

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
            compressed = self._input or self._source.read(_COMPRESSED_CHUNK_BYTES)
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
            compressed = self._source.read(_COMPRESSED_CHUNK_BYTES)
            if not compressed:
                return False
            self._input = compressed.lstrip(b"\0")
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        return True


class ZstdStream(DecompressedStream):
    """The decompressed bytes of one or more zstd frames.

    The ``zstandard`` reader ends without an error inside a cut frame, so the frames are followed alongside.
    """

    def __init__(self, source: BinaryIO) -> None:
        import zstandard

        super().__init__(source)
        self._frames = _ZstdFrames(source)
        self._error: type[Exception] = zstandard.ZstdError
        self._reader = zstandard.ZstdDecompressor().stream_reader(
            cast(Any, self._frames), read_size=_COMPRESSED_CHUNK_BYTES, read_across_frames=True
        )

    def _some(self, limit: int) -> bytes:
        try:
            piece: bytes = self._reader.read1(limit)
        except self._error as error:
            raise self._corrupt(error) from error
        if not piece and not self._frames.between:
            raise self._truncated()
        return piece


class _ZstdFrames:
    """Passes compressed bytes on and knows whether a frame is open (RFC 8878, sections 3.1.1 and 3.1.2)."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._walk = self._walker()
        self._held = bytearray()
        self.between = False
        self._expect(next(self._walk))

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        position = 0
        while position < len(piece):
            step = min(self._need, len(piece) - position)
            if self._keep:
                self._held += piece[position : position + step]
            position += step
            self._need -= step
            self.between = False
            while not self._need:
                field = bytes(self._held)
                self._held.clear()
                self._expect(self._walk.send(field))
        return piece

    def _expect(self, count: int) -> None:
        self._need = abs(count)
        self._keep = count > 0

    def _walker(self) -> Generator[int, bytes, None]:
        """Yields how many bytes come next: to be sent back, or, below 0, to be passed over."""
        while True:
            magic = yield 4
            if magic[1:] == b"\x2a\x4d\x18":  # skippable frame
                yield -int.from_bytes((yield 4), "little")
            else:
                descriptor = (yield 1)[0]
                single = descriptor >> 5 & 1
                size_bytes = (single, 2, 4, 8)[descriptor >> 6]
                yield -((1 - single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes)
                last = 0
                while not last:
                    block = int.from_bytes((yield 3), "little")
                    last = block & 1
                    yield -1 if block >> 1 & 3 == 1 else -(block >> 3)
                yield -4 * (descriptor >> 2 & 1)
            self.between = True


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
    lower = name.lower()
    if lower.endswith(".tar"):
        return stream
    if lower.endswith((".tar.gz", ".tgz")):
        return cast(BinaryIO, GzipStream(stream))
    if lower.endswith(".tar.zst"):
        return cast(BinaryIO, ZstdStream(stream))
    raise ValueError(f"{name}: not a .tar, .tar.gz, .tgz or .tar.zst")
