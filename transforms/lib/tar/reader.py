"""A cursor over the bytes of a tar, which knows its position and can go back a little."""

from __future__ import annotations

import io
from collections import deque
from typing import BinaryIO

from transforms.lib.errors import ShardError

CHUNK_BYTES = 1 << 20
LOOK_BACK_BYTES = 1 << 20
"""How far a ``Cursor`` can go back: a header that a damaged member swallowed is looked for so far."""


class Cursor:
    """Reads a binary stream in pieces of 1 MiB, and knows its position.

    Never seeks and never asks for more than ``CHUNK_BYTES`` at a time, so a size field that lies costs no more memory
    than the stream really holds. It goes forwards, and back by at most ``LOOK_BACK_BYTES``.

    Args:
      stream: to be read.
      at_hand: bytes that come before those of the stream.

    Attributes:
      broken: why the stream gives no more bytes, when that is not its end: a compressed one that is cut or damaged.
    """

    __slots__ = ("_behind", "_behind_bytes", "_buffer", "_position", "_start", "_stream", "broken")

    def __init__(self, stream: BinaryIO, at_hand: bytes = b"") -> None:
        self._stream = stream
        self._buffer = at_hand
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
