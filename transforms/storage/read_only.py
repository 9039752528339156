"""What the clients of stores that are only read share: bytes come through obstore, and every write is refused."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from transforms.lib.errors import StoreError
from transforms.storage.client import FileInfo
from transforms.storage.object_store import ObjectStore, RangeReader

if TYPE_CHECKING:
    from obstore.store import HTTPStore


def cannot_write(uri: str) -> str:
    """Returns the line about writing to a store that is only read."""
    scheme = uri.partition("://")[0]
    return f"{uri}: {scheme}:// is read, never written; name a local folder, gs://, s3:// or az://"


def _refuse(uri: str) -> NoReturn:
    raise StoreError(cannot_write(uri))


class ReadOnlyStore(ObjectStore):
    """A ``StoreClient`` that reads from web addresses and refuses every write with a ``StoreError``."""

    writes = False

    @abc.abstractmethod
    def place(self, uri: str) -> tuple[HTTPStore, str]:
        """Returns a connection that reaches a file, and the file's path on it."""

    @abc.abstractmethod
    def stat(self, uri: str) -> FileInfo | None:
        """Returns the facts of a file; None where there is none."""

    def exists(self, uri: str) -> bool:
        return self.stat(uri) is not None

    def read_bytes(self, uri: str) -> bytes:
        from transforms.storage.obstore_reader import read_object

        return read_object(*self.place(uri))

    def reader(self, uri: str) -> RangeReader:
        from transforms.storage.obstore_reader import open_object

        return open_object(*self.place(uri))

    def put(self, uri: str, file: BinaryIO) -> None:
        _refuse(uri)

    def read_version(self, uri: str) -> NoReturn:
        _refuse(uri)

    def replace(self, uri: str, data: bytes, version: str) -> NoReturn:
        _refuse(uri)

    def copy(self, source: str, target: str) -> NoReturn:
        _refuse(target)

    def delete(self, uris: Sequence[str]) -> None:
        _refuse(uris[0])
