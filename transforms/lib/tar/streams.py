"""Packed shards as streams of the unpacked bytes; damage has a name, and a file that unpacks to too much is stopped.

Why gzip is unpacked here and not by the module ``gzip`` of the standard library: that module confuses data that end
early with data that are damaged, in 48 of 444 damaged files that were tried.
"""

from __future__ import annotations

import bz2
import io
import lzma
import sys
import zlib
from typing import Any, BinaryIO, ClassVar, cast

from transforms.lib.errors import Reason, ShardError
from transforms.lib.tar.packing import HEAD_BYTES, PLAIN, packing_of
from transforms.lib.tar_limits import DEFAULT_LIMITS, NO_LIMITS, TarLimits

_COMPRESSED_CHUNK_BYTES = 1 << 16
_GZIP_WINDOW = 31  # zlib's code for "gzip header and 32 KiB window"
_RATIO_FROM_BYTES = 1 << 26  # unpacked, before the ratio counts
_XZ_MEMORY_BYTES = 1 << 28  # `xz -9` needs 65 MiB


class DecompressedStream(io.RawIOBase):
    """Base of the decompressing streams: sequential, bounded reads; damage is a ``ShardError``.

    Subclasses set ``packing`` and give ``_some(limit)``: up to ``limit`` bytes, empty only at a complete end.

    Attributes:
      packing: one of ``packing.PACKINGS``.
      taken: compressed bytes that were read.
      limits: of the bytes that are unpacked.

    Raises:
      ShardError: from ``read``, with the offset in the decompressed bytes: ``TAR_TRUNCATED`` when the
        compressed data end early, ``TAR_CORRUPT`` when they are damaged, ``TAR_TOO_LARGE`` beyond a limit.
    """

    packing: ClassVar[str]

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._given = 0
        self.taken = 0
        self.limits = NO_LIMITS

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
        given = self._given + len(piece)
        if given > self.limits.max_unpacked_bytes:
            raise self._too_large(f"more than {self.limits.max_unpacked_bytes} bytes unpacked")
        if given > max(_RATIO_FROM_BYTES, self.limits.max_unpack_ratio * self.taken):
            raise self._too_large(f"more than {self.limits.max_unpack_ratio} times its packed size")
        self._given = given
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

    def _too_large(self, detail: str) -> ShardError:
        return ShardError(Reason.TAR_TOO_LARGE, self._given, detail)

    def _truncated(self) -> ShardError:
        return ShardError(Reason.TAR_TRUNCATED, self._given, "the compressed data end early")

    def _corrupt(self, error: Exception) -> ShardError:
        return ShardError(Reason.TAR_CORRUPT, self._given, f"the compressed data are damaged: {error}")


class GzipStream(DecompressedStream):
    """The decompressed bytes of one or more gzip members, checksums verified; zeros may follow them."""

    packing = "gzip"

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


class _StreamOfParts(DecompressedStream):
    """Base of formats that the standard library unpacks, in parts that follow one another."""

    zeros: ClassVar[bool] = False  # zeros may lie between and behind parts

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(source)
        self._part = self._new_part()
        self._errors = self._error_types()

    def _new_part(self) -> Any:
        raise NotImplementedError

    def _error_types(self) -> tuple[type[Exception], ...]:
        raise NotImplementedError

    def _some(self, limit: int) -> bytes:
        while True:
            compressed = b""
            if self._part.eof:
                compressed = self._part.unused_data or self._feed()
                while self.zeros and compressed and not (compressed := compressed.lstrip(b"\0")):
                    compressed = self._feed()
                if not compressed:
                    return b""
                self._part = self._new_part()
            elif self._part.needs_input:
                compressed = self._feed()
                if not compressed:
                    raise self._truncated()
            try:
                piece: bytes = self._part.decompress(compressed, limit)
            except self._errors as error:
                raise self._corrupt(error) from error
            if piece:
                return piece


class ZstdStream(_StreamOfParts):
    """The decompressed bytes of one or more zstd frames, checksums verified; skippable frames are passed over."""

    packing = "zstd"

    def __init__(self, source: BinaryIO) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd  # only where a shard is packed with zstd
        self._library: Any = zstd
        super().__init__(source)

    def _new_part(self) -> Any:
        return self._library.ZstdDecompressor()

    def _error_types(self) -> tuple[type[Exception], ...]:
        return (self._library.ZstdError,)


class Bzip2Stream(_StreamOfParts):
    """The decompressed bytes of one or more bzip2 streams, checksums verified."""

    packing = "bzip2"

    def _new_part(self) -> Any:
        return bz2.BZ2Decompressor()

    def _error_types(self) -> tuple[type[Exception], ...]:
        return OSError, ValueError


class XzStream(_StreamOfParts):
    """The decompressed bytes of one or more xz streams, checksums verified; one that needs over 256 MiB is damaged."""

    packing = "xz"
    zeros = True

    def _new_part(self) -> Any:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES)

    def _error_types(self) -> tuple[type[Exception], ...]:
        return lzma.LZMAError, MemoryError


_STREAMS: tuple[type[DecompressedStream], ...] = (GzipStream, Bzip2Stream, XzStream, ZstdStream)


class _Whole(io.RawIOBase):
    """A stream of which the first bytes were read, from its beginning."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            size = len(self._head)
        piece, self._head = self._head[:size], self._head[size:]
        return piece


def unpacked(stream: BinaryIO, packing: str) -> BinaryIO:
    """Returns a stream of the unpacked bytes; ``stream`` itself where it is plain.

    Args:
      stream: the stored bytes, at their beginning; read forwards only where they are packed.
      packing: one of ``packing.PACKINGS``, or ``plain``.
    """
    if packing == PLAIN:
        return stream
    kind = next(kind for kind in _STREAMS if kind.packing == packing)
    return cast(BinaryIO, kind(stream))


def open_tar(stream: BinaryIO, limits: TarLimits = DEFAULT_LIMITS) -> BinaryIO:
    """Opens the bytes of a tar for reading them through, unpacked as their first bytes say, whatever the name.

    Args:
      stream: the stored bytes, read forwards only.
      limits: of the bytes that are unpacked.

    Returns:
      A stream of the uncompressed tar: a ``DecompressedStream``, which decompresses as it is read and whose ``read``
      returns at most what was asked for, or the bytes as they are. Damage is a ``ShardError`` from ``read``, of which
      ``read_samples`` makes a rejected sample.
    """
    head = b""
    while len(head) < HEAD_BYTES and (piece := stream.read(HEAD_BYTES - len(head))):
        head += piece
    return limited(unpacked(cast(BinaryIO, _Whole(head, stream)), packing_of(head)), limits)


def limited(stream: BinaryIO, limits: TarLimits = DEFAULT_LIMITS) -> BinaryIO:
    """Returns the stream of a tar, with limits of what is unpacked where it is packed."""
    if isinstance(stream, DecompressedStream):
        stream.limits = limits
    return stream


def open_seekable(stream: BinaryIO) -> BinaryIO:
    """Opens the bytes of a tar as ``open_tar`` does; of a plain one, the stream itself, so that ranges can be read."""
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    return unpacked(stream, packing_of(head))
