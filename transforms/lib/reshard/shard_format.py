"""The contract of an output shard's form: how samples are written, and read again to be verified."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import BinaryIO, ClassVar, Protocol

import pyarrow as pa

Members = list[tuple[str, bytes]]


class ShardFile(Protocol):
    """What a writer writes to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Appends bytes; returns how many."""


class ShardFormat(abc.ABC):
    """Writes samples one after another, and reads them back.

    The bytes are a function of the samples alone; memory does not grow with their number.

    Attributes:
      name: what ``--format`` calls it; a literal, which registers the class.
      suffix: of the file's name.
      finds_images_by_name: whether its loaders find the image by the extension of its member.
      holds_columns: whether scores are columns beside the samples.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    finds_images_by_name: ClassVar[bool] = True
    holds_columns: ClassVar[bool] = False

    @abc.abstractmethod
    def write(self, samples: Iterable[tuple[str, Members]], sink: ShardFile, beside: pa.Table | None = None) -> None:
        """Writes a whole file.

        Args:
          samples: (key, members); members are (lower-case extension, data). Keys are ``uid-copy``.
          sink: where the bytes go.
          beside: columns of the samples, row i of sample i, for a form that ``holds_columns``; None for none.
        """

    @abc.abstractmethod
    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        """Yields what ``write`` was given; members may come in another order.

        Raises:
          ValueError: the file is damaged or of another form.
        """
