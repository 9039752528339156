"""What the clients of object stores share: globs over listed prefixes, readers of byte ranges, one put per file."""

from __future__ import annotations

import abc
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, cast

from apache_beam.io.filesystemio import DownloaderStream

from transforms.lib import addresses
from transforms.lib.byte_ranges import COALESCE_REMOTE
from transforms.storage.client import FileInfo, staged

_READ_BYTES = 1 << 24  # a file that is read through is requested in pieces of this size


class RangeReader(Protocol):
    """Reads byte ranges of one version of an object; Beam's ``DownloaderStream`` makes a file of it."""

    @property
    def size(self) -> int:
        """Bytes of the object."""

    def get_range(self, start: int, end: int) -> bytes:
        """Returns the bytes from ``start`` up to ``end``, in one request."""


class ObjectStore(abc.ABC):
    """A ``StoreClient`` of a store that lists by prefix, reads byte ranges and puts an object in one piece."""

    writes = True
    lists = True

    @abc.abstractmethod
    def list_prefix(self, prefix: str) -> Iterator[FileInfo]:
        """Yields the objects whose addresses begin with ``prefix``."""

    @abc.abstractmethod
    def folders(self, folder: str) -> Iterator[str]:
        """Yields the names of the folders directly below one."""

    @abc.abstractmethod
    def exists(self, uri: str) -> bool:
        """Tells whether an object is there."""

    @abc.abstractmethod
    def read_bytes(self, uri: str) -> bytes:
        """Returns a whole object, in one request."""

    @abc.abstractmethod
    def reader(self, uri: str) -> RangeReader:
        """Returns what reads byte ranges of the version of an object that is there now."""

    @abc.abstractmethod
    def put(self, uri: str, file: BinaryIO) -> None:
        """Makes an object of a file that stands at its start; it appears whole, or, after an error, not at all."""

    @abc.abstractmethod
    def read_version(self, uri: str) -> tuple[bytes, str]:
        """Returns a whole object and the name of its version."""

    @abc.abstractmethod
    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Puts an object if the one that is there is still that version; tells whether it did."""

    @abc.abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Copies an object inside the store."""

    @abc.abstractmethod
    def delete(self, uris: Sequence[str]) -> None:
        """Deletes objects; those that are not there are no error."""

    def match(self, pattern: str) -> Iterator[FileInfo]:
        """Yields the objects that a glob pattern matches."""
        pattern += "*" * pattern.endswith("/")
        glob = addresses.regex_of(pattern)
        for info in self.list_prefix(addresses.literal_start(pattern)):
            if glob.fullmatch(info.uri):
                yield info

    def stat(self, uri: str) -> FileInfo | None:
        """Returns the object of an address, the first of a listing, since longer names sort behind it."""
        return next((info for info in self.list_prefix(uri) if info.uri == uri), None)

    def children(self, folder: str) -> Iterator[FileInfo]:
        """Yields every object below a folder."""
        return self.list_prefix(folder.rstrip("/") + "/")

    def open_read(self, uri: str) -> BinaryIO:
        """Opens an object for reading it through, 16 MiB at a time; a small one is held whole, however it is read."""
        reader = self.reader(uri)
        if reader.size <= COALESCE_REMOTE:
            return io.BytesIO(reader.get_range(0, reader.size) if reader.size else b"")
        stream: Any = DownloaderStream(reader, read_buffer_size=_READ_BYTES)
        return cast(BinaryIO, io.BufferedReader(stream, _READ_BYTES))

    def open_ranges(self, uri: str) -> BinaryIO:
        """Opens an object for reads of byte ranges."""
        return cast(BinaryIO, DownloaderStream(self.reader(uri)))

    def create(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Opens a temporary file of this machine, which is put when the block ends."""
        return staged(lambda file: self.put(uri, file))
