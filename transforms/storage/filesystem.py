"""Files on disks and in buckets: match, read, fetch, and write so that a file is whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

from transforms.lib import addresses
from transforms.lib.errors import InputError, MissingError, NoBucketError
from transforms.storage import fetched, listings
from transforms.storage.client import FileInfo as FileInfo
from transforms.storage.clients import client_of as client_of
from transforms.storage.errors import one_line
from transforms.storage.local import is_dead, is_partial
from transforms.storage.read_only import cannot_write

_PIECE_BYTES = 1 << 24
_AT_ONCE = 16  # listings at a time


def join(base: str, *parts: str) -> str:
    """Returns the address of ``parts`` below ``base``; parts come from our own names, never from data."""
    return "/".join([base.rstrip("/"), *parts])


def match(patterns: Sequence[str]) -> list[list[FileInfo]]:
    """Returns the files of each glob, sorted; an empty list where nothing matches.

    Addresses of our own are never globs: see ``stat`` and ``children``. What users write goes through ``patterns``.

    Raises:
      StoreError: a store cannot be listed.
      OSError, BeamIOError: a local folder cannot be listed.
    """
    if all(map(is_local, patterns)):
        return [_match(pattern) for pattern in patterns]
    found = listings.together([pattern for pattern in patterns if not is_local(pattern)])
    others = [pattern for pattern in dict.fromkeys(patterns) if pattern not in found]
    with ThreadPoolExecutor(_AT_ONCE) as threads:  # each is a request or more
        found |= zip(others, threads.map(_match, others), strict=True)
    return [found[pattern] for pattern in patterns]


def _match(pattern: str) -> list[FileInfo]:
    with one_line(pattern, writes=True):
        return sorted(client_of(pattern).match(pattern))


def stat(uri: str) -> FileInfo | None:
    """Returns address, size and time of a file, or None where there is none; its address is taken as it is.

    Raises:
      NoBucketError: there is no such bucket.
      StoreError: the store does not tell.
    """
    with one_line(uri, writes=True):
        return client_of(uri).stat(uri)


def exists(uri: str) -> bool:
    """Tells whether a file is there.

    Raises:
      StoreError: the store does not tell.
    """
    with one_line(uri):
        return client_of(uri).exists(uri)


@contextlib.contextmanager
def open_read(uri: str) -> Iterator[BinaryIO]:
    """Opens a file for reading its bytes as they are, seekable; nothing is decompressed because of its name.

    Raises:
      MissingError: there is no such object.
      StoreError: the store refuses or does not answer, now or at a later read.
    """
    with one_line(uri), client_of(uri).open_read(uri) as file:
        yield file


@contextlib.contextmanager
def open_ranges(uri: str) -> Iterator[BinaryIO]:
    """Opens a file for reads of byte ranges: each read requests those bytes and no more.

    Errors as ``open_read``, whose reader fetches 16 MiB at a time, which suits a file that is read through.
    """
    with one_line(uri), client_of(uri).open_ranges(uri) as file:
        yield file


def is_local(uri: str) -> bool:
    """Tells whether an address is on this machine's own file system."""
    return FileSystems.get_scheme(uri) is None


def read_bytes(uri: str) -> bytes:
    """Returns a whole file. Errors as ``open_read``."""
    with one_line(uri):
        return client_of(uri).read_bytes(uri)


def digest(uri: str) -> tuple[int, str]:
    """Returns bytes and sha256 of a file, of which 16 MiB are in memory at a time."""
    size, sha256 = 0, hashlib.sha256()
    with open_read(uri) as file:
        while piece := file.read(_PIECE_BYTES):
            size += len(piece)
            sha256.update(piece)
    return size, sha256.hexdigest()


def read_if_exists(uri: str) -> bytes | None:
    """Returns a whole file, or None where there is none.

    Raises:
      NoBucketError: there is no such bucket.
      StoreError: the store refuses or does not answer.
    """
    try:
        return read_bytes(uri)
    except NoBucketError:
        raise
    except (FileNotFoundError, MissingError):
        return None


def write_atomic(uri: str, data: bytes | memoryview) -> None:
    """Writes a file so that it is seen whole or not at all, replacing an older one."""
    with create_atomic(uri) as file:
        file.write(data)


def copy(source: str, target: str) -> None:
    """Makes a file of the bytes of another one of the same store, in the store where it can.

    Raises:
      MissingError: there is no file to copy.
      StoreError: the store refuses or does not answer.
    """
    with one_line(source):
        client_of(source).copy(source, target)


class NewFile:
    """A file being written: counts its bytes and digests them on the way.

    Attributes:
      size: bytes written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Appends bytes; returns how many."""
        self._digest.update(data)
        self._file.write(data)
        written = memoryview(data).nbytes
        self.size += written
        return written

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        return self._digest.hexdigest()


@contextlib.contextmanager
def create_atomic(uri: str) -> Iterator[NewFile]:
    """Opens a file that appears, whole, when the block ends without an error, and replaces an older one.

    Locally: a temporary name beside it, fsync, rename. For an object store: a temporary file of this machine; then one
    upload, which appears when it is complete.

    Raises:
      StoreError: the store refuses or does not answer; there is no such bucket.
    """
    with one_line(uri, writes=True), client_of(uri).create(uri) as file:
        yield NewFile(file)


def remove_partial(folder: str) -> None:
    """Deletes what killed runs left half written below a local folder; on an object store nothing is ever left.

    What a live process is writing stays.
    """
    if is_local(folder):
        for path, folders, names in os.walk(folder):
            for name in filter(is_partial, [*folders, *names]):
                partial = os.path.join(path, name)
                if is_dead(partial):
                    remove = shutil.rmtree if os.path.isdir(partial) and not os.path.islink(partial) else os.unlink
                    with contextlib.suppress(FileNotFoundError):  # another run was faster
                        remove(partial)


def check_writable(folder: str) -> None:
    """Checks that a local folder is a folder, or can be made; an object store refuses when it is written to.

    Raises:
      InputError: a file is in the way, this user may not write there, or nothing can be written to such a store.
    """
    if not client_of(folder).writes:
        raise InputError(f"--output {cannot_write(folder)}")
    if not is_local(folder):
        return
    path = os.path.abspath(folder)
    while not os.path.exists(path):
        if os.path.islink(path):
            raise InputError(
                f"--output {folder}: {path} is a link that leads nowhere ({os.readlink(path)}); create what it names, "
                "or name another folder"
            )
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        raise InputError(f"--output {folder}: {path} is a file; name another folder")
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"--output {folder}: no right to write to {path}; name another folder")


def delete(uris: Sequence[str]) -> None:
    """Deletes files of one store; those that are not there are no error.

    Raises:
      StoreError: the store refuses or does not answer.
    """
    if uris:
        with one_line(uris[0], writes=True):
            client_of(uris[0]).delete(uris)


def discard(uris: Sequence[str]) -> None:
    """Deletes files of one store, and the local folders that are empty then; a retried worker may come twice."""
    delete(uris)
    for folder in {os.path.dirname(uri) for uri in uris if is_local(uri)}:
        with contextlib.suppress(OSError):  # not empty, or gone
            os.removedirs(folder)


def children(folder: str) -> Iterator[FileInfo]:
    """Yields every file below a folder, however deep, sorted; nothing when there is no such folder.

    Raises:
      NoBucketError: there is no such bucket either.
      StoreError: a store cannot be listed.
    """
    with one_line(folder, writes=True):
        found = sorted(client_of(folder).children(folder))
    yield from found


def folders(folder: str) -> list[str]:
    """Returns the names of the folders directly below a folder, sorted; what is in them is not listed.

    Raises:
      NoBucketError: there is no such bucket.
      StoreError: a store cannot be listed.
    """
    with one_line(folder, writes=True):
        return sorted(client_of(folder).folders(folder))


def fetch(uri: str) -> str:
    """Returns a local copy of a file, or of a folder of files, downloading what is remote once per machine.

    A file that changed under its address (size, time or version) is downloaded again. ``fetched`` says where copies
    lie, and when one is trusted.

    Returns:
      a local path; one that does not exist when there is nothing at ``uri``.

    Raises:
      InputError: the folder of copies is not this user's alone, or the disk is full.
      StoreError: the store refuses or does not answer, or a file changed while it was read.
    """
    uri = addresses.without_scheme(uri)
    if is_local(uri):
        return uri
    found = stat(uri)
    return fetched.local_copy(uri, [found] if found else list(children(uri)), open_read)
