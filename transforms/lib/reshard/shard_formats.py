"""The forms an output shard can have: WebDataset tar, Parquet table, TFRecord file."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import BinaryIO, ClassVar, Protocol

from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, read_samples, write_sample

Members = list[tuple[str, bytes]]


class Sink(Protocol):
    """What a writer writes to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Appends bytes; returns how many."""


class ShardFormat(abc.ABC):
    """Writes samples one after another, and reads them back.

    The bytes are a function of the samples alone; memory does not grow with their number.

    Attributes:
      suffix: of the file's name.
    """

    suffix: ClassVar[str]

    @abc.abstractmethod
    def write(self, samples: Iterable[tuple[str, Members]], sink: Sink) -> None:
        """Writes a whole file.

        Args:
          samples: (key, members); members are (lower-case extension, data). Keys are ``uid-copy``.
          sink: where the bytes go.
        """

    @abc.abstractmethod
    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        """Yields what ``write`` was given; members may come in another order.

        Raises:
          ValueError: the file is damaged or of another form.
        """


class TarFormat(ShardFormat):
    """WebDataset: members verbatim under the new key, in the order they had; headers normalised."""

    suffix = ".tar"

    def write(self, samples: Iterable[tuple[str, Members]], sink: Sink) -> None:
        for key, members in samples:
            sink.write(write_sample(key, members))
        sink.write(END_OF_ARCHIVE)

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        for sample in read_samples(stream):
            if sample.problem:
                raise ValueError(f"{sample.key}: {sample.problem}: {sample.detail}")
            yield sample.key, list(sample.members.items())


NAMES = ("webdataset", "parquet", "tfrecord")


def format_of(name: str) -> ShardFormat:
    """Returns one of the forms by its name in ``NAMES``."""
    if name == "webdataset":
        return TarFormat()
    if name == "parquet":
        from transforms.lib.reshard.parquet_format import ParquetFormat

        return ParquetFormat()
    from transforms.lib.reshard.tfrecord_format import TFRecordFormat

    return TFRecordFormat()
