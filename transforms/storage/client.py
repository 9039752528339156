"""What Winnow asks of a place that holds files: the contract of a store's client."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol, cast


class FileInfo(NamedTuple):
    """A file that exists.

    Attributes:
      uri: its address.
      size: bytes.
      updated: time of last change in seconds; 0 where unknown.
      version: what the store calls these very bytes; empty where ``updated`` says when they changed.
    """

    uri: str
    size: int
    updated: float
    version: str = ""


class StoreClient(Protocol):
    """Speaks to one kind of store; threads share it, and it connects when the first call needs a connection.

    A client raises what the library of its store raises; ``errors.one_line`` turns that into a ``StoreError`` whose
    line names the address. ``filesystem`` does so around every call, and the rest of Winnow calls ``filesystem`` only.
    Each address that a client gets is one that ``clients.client_of`` has checked.

    Attributes:
      writes: files can be written and deleted; where not, both are a ``StoreError``.
      lists: globs and folders can be listed; where not, a pattern is the address of one file, wildcards or not.
    """

    writes: bool
    lists: bool

    def match(self, pattern: str) -> Iterable[FileInfo]:
        """Returns the files that a glob pattern matches, in any order; none where nothing matches.

        Globs are those of ``addresses.regex_of``, and a pattern that ends in ``/`` means what is directly below. A file
        that is half written is not among them.
        """

    def stat(self, uri: str) -> FileInfo | None:
        """Returns the file of an address, which is no pattern; None where there is none."""

    def children(self, folder: str) -> Iterable[FileInfo]:
        """Returns every file below a folder, however deep and in any order; its address is no pattern."""

    def folders(self, folder: str) -> Iterable[str]:
        """Returns the names of the folders directly below one, in any order; none where there is no such folder.

        Cost: that of the names, whatever the folders hold, where the store can list so.
        """

    def exists(self, uri: str) -> bool:
        """Tells whether a file is there."""

    def read_bytes(self, uri: str) -> bytes:
        """Returns a whole file, in one request. Errors as ``open_read``."""

    def open_read(self, uri: str) -> BinaryIO:
        """Opens a file for reading it through: a seekable reader of its bytes as they are.

        Raises:
          an error, now or at a later read, that ``one_line`` turns into ``MissingError`` or ``NoBucketError`` where
          there is no such file; ``FileNotFoundError`` on a local disk.
        """

    def open_ranges(self, uri: str) -> BinaryIO:
        """Opens a file for reads of byte ranges: each read asks the store for those bytes and no more.

        Errors as ``open_read``. A file that is replaced meanwhile gives an error, never bytes of two versions.
        """

    def create(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Opens a file for writing, which appears, whole, when the block ends, and replaces an older one.

        When the block or the store fails, no file appears, and an older one stays as it was.
        """

    def read_version(self, uri: str) -> tuple[bytes, str]:
        """Returns a whole file and the name of the version that it is. Errors as ``open_read``."""

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Writes a file, whole, only if the one that is there is still the version named.

        Args:
          uri: of the file.
          data: its new content.
          version: what ``read_version`` gave; "" where no file may be there.

        Returns:
          whether it was written; False where another writer was first. Of writers that name one version, at most one
          is told True.
        """

    def copy(self, source: str, target: str) -> None:
        """Makes a file of the bytes of another one of this store, whole, and replaces an older one."""

    def delete(self, uris: Sequence[str]) -> None:
        """Deletes files; those that are not there are no error."""


@contextlib.contextmanager
def staged(put: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """Yields a temporary file of this machine, and hands it to ``put``, at its start, when the block ends."""
    with tempfile.TemporaryFile() as whole:
        file = cast(BinaryIO, whole)
        yield file
        file.seek(0)
        put(file)
