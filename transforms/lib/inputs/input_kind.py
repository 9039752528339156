"""The contract of a kind of input: its shards, and the bytes of each as an uncompressed tar."""

from __future__ import annotations

import abc
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol

import numpy as np


class FoundFile(Protocol):
    """A file that a pattern matches."""

    @property
    def uri(self) -> str:
        """Its address."""

    @property
    def size(self) -> int:
        """Its bytes."""


class Files(NamedTuple):
    """How a kind reaches files, wherever they lie.

    Attributes:
      open: address -> the file, open for reading, in a ``with`` block.
      below: folder -> the files directly below it, sorted.
    """

    open: Callable[[str], AbstractContextManager[BinaryIO]]
    below: Callable[[str], Sequence[FoundFile]]


class InputKind(abc.ABC):
    """Makes of a shard one stream of tar bytes; whatever reads tars reads every kind.

    The bytes are a function of the shard alone, so that a range of them is a sample for ever. Memory holds a few
    samples, however many the shard has. Every row or file is in a sample; one that cannot be read is a sample without
    an image, which is rejected.

    Attributes:
      name: of the kind; a literal, which registers the class.
      suffixes: of the files that hold samples, in lower case.
      groups: shards are made of many files; where not, a file is a shard.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    groups: ClassVar[bool] = False

    @abc.abstractmethod
    def stream(self, uri: str, files: Files) -> AbstractContextManager[BinaryIO]:
        """Opens a shard as an uncompressed tar.

        Args:
          uri: of the shard.
          files: where it lies.

        Raises:
          InputError: it has no images by its very form, or is not the one that was listed.
          ShardError: from ``read``, where it cannot be read on.
        """


class ForwardStream(io.RawIOBase):
    """The bytes of many pieces, one behind another, read forwards once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class SeekableStream(io.RawIOBase):
    """The bytes of pieces whose sizes are known; a piece is made when it is read, and one is held.

    Args:
      sizes: bytes of each piece.
      make: number of a piece -> its bytes.
      unused_rows: rows of tables beside the shard that are in no piece.
    """

    def __init__(self, sizes: Sequence[int], make: Callable[[int], bytes], unused_rows: int = 0) -> None:
        super().__init__()
        self.unused_rows = unused_rows
        self._ends = np.cumsum(np.array(sizes, np.int64))
        self._make = make
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        size = int(self._ends[-1]) if len(self._ends) else 0
        self._position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence])
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        number = int(np.searchsorted(self._ends, self._position, side="right"))
        if number == len(self._ends):
            return 0
        if self._held[0] != number:
            self._held = number, self._make(number)
        piece = self._held[1]
        start = self._position - (int(self._ends[number]) - len(piece))
        count = min(len(buffer), len(piece) - start)
        buffer[:count] = piece[start : start + count]
        self._position += count
        return count
