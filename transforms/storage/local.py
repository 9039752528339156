"""Files on this machine's disks, and on any other file system that Beam knows and Winnow has no client for."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.lib import addresses
from transforms.storage import processes
from transforms.storage.client import FileInfo, staged

_PARTIAL = ".partial"
_BYTES = "application/octet-stream"
_PIECE_BYTES = 1 << 24
_SILENT = 86_400.0  # seconds


def is_partial(name: str) -> bool:
    """Tells whether a file's name is that of one that is half written, now or by a run that was killed."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def partial_name(name: str) -> str:
    """Returns a new name, beside a file, for one that is half written and will become it; it names this process."""
    return f".{name}.{processes.own_tag()}.{secrets.token_urlsafe(6)}{_PARTIAL}"


def is_dead(path: str) -> bool:
    """Tells whether nobody is writing a partial file: its process is gone, or is elsewhere and silent for a day."""
    parts = os.path.basename(path).split(".")
    alive = processes.is_alive(parts[-3]) if len(parts) > 3 else False
    if alive is None:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - os.lstat(path).st_mtime > _SILENT
    return not alive


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Holds the lock of a folder, which ends with the process at the latest.

    Some network file systems have no such locks; there the time between comparing and writing stays open.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class BeamClient:
    """A ``StoreClient`` that calls Beam's file systems."""

    writes = True
    lists = True

    def match(self, pattern: str) -> Iterable[FileInfo]:
        """Returns the files that a glob pattern matches."""
        listed = FileSystems.match([pattern])[0].metadata_list
        return [FileInfo(m.path, m.size_in_bytes, m.last_updated_in_seconds or 0.0) for m in listed]

    def stat(self, uri: str) -> FileInfo | None:
        """Returns the file of an address; None where there is none."""
        return next(iter(self.match(addresses.escaped(uri))), None) if self.exists(uri) else None

    def children(self, folder: str) -> Iterable[FileInfo]:
        """Returns every file below a folder."""
        with contextlib.suppress(BeamIOError):
            return self.match(addresses.escaped(folder.rstrip("/")) + "/**")
        return []

    def folders(self, folder: str) -> Iterable[str]:
        """Returns the names of the folders directly below one, from the addresses of all files below it."""
        base = folder.rstrip("/") + "/"
        below = [info.uri[len(base) :] for info in self.children(folder)]
        return {path.partition("/")[0] for path in below if "/" in path}

    def exists(self, uri: str) -> bool:
        """Tells whether a file is there."""
        return bool(FileSystems.exists(uri))

    def read_bytes(self, uri: str) -> bytes:
        """Returns a whole file."""
        with self.open_read(uri) as file:
            return file.read()

    def open_read(self, uri: str) -> BinaryIO:
        """Opens a file for reading; nothing is decompressed because of its name."""
        return cast(BinaryIO, FileSystems.open(uri, _BYTES, CompressionTypes.UNCOMPRESSED))

    def open_ranges(self, uri: str) -> BinaryIO:
        """Opens a file for reads of byte ranges."""
        return self.open_read(uri)

    def create(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """Opens a temporary file of this machine, which is copied when the block ends."""

        def copy(file: BinaryIO) -> None:
            with FileSystems.create(uri, _BYTES, CompressionTypes.UNCOMPRESSED) as target:
                while piece := file.read(_PIECE_BYTES):
                    target.write(piece)

        return staged(copy)

    def read_version(self, uri: str) -> tuple[bytes, str]:
        """Returns a whole file and the digest of its content."""
        data = self.read_bytes(uri)
        return data, hashlib.sha256(data).hexdigest()

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Compares the digest of what is there directly before it writes; Beam's file systems have no conditions."""
        present = self.read_version(uri)[1] if self.exists(uri) else ""
        if present != version:
            return False
        with self.create(uri) as file:
            file.write(data)
        return True

    def copy(self, source: str, target: str) -> None:
        """Reads a file and writes it anew."""
        with self.open_read(source) as file, self.create(target) as made:
            while piece := file.read(_PIECE_BYTES):
                made.write(piece)

    def delete(self, uris: Sequence[str]) -> None:
        """Deletes files, those that are there."""
        if present := [uri for uri in dict.fromkeys(uris) if self.exists(uri)]:
            FileSystems.delete(present)


class LocalClient(BeamClient):
    """The client of this machine's own file system; Beam's takes every path for a glob, also one that it deletes."""

    def match(self, pattern: str) -> Iterable[FileInfo]:
        """Yields the files that a glob pattern matches; one that is half written is not among them.

        Folders that are links are followed.

        Raises:
          OSError: a folder cannot be listed, or a name that matches is a link to nothing.
        """
        pattern += "*" * pattern.endswith("/")
        alone = addresses.only_match(pattern)
        if alone is not None:
            yield from filter(None, [self.stat(alone)])
            return
        start = addresses.literal_start(pattern)
        folder = start.rpartition("/")[0] or "/" * start.startswith("/")
        depth = None if "**" in pattern else pattern.count("/") - start.count("/")
        regex = addresses.regex_of(pattern)
        for path in _walk(folder, depth):
            if regex.fullmatch(path) and (info := self.stat(path)):
                yield info

    def stat(self, uri: str) -> FileInfo | None:
        """Returns the file of an address; None where there is none, or a folder."""
        try:
            found = os.stat(uri)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(uri):
                raise
            return None
        return None if stat.S_ISDIR(found.st_mode) else FileInfo(uri, found.st_size, found.st_mtime)

    def children(self, folder: str) -> Iterable[FileInfo]:
        """Yields every file below a folder."""
        if os.path.isdir(folder):
            for path in _walk(folder.rstrip("/") or "/", None):
                with contextlib.suppress(FileNotFoundError):  # a link to nothing
                    if info := self.stat(path):
                        yield info

    def delete(self, uris: Sequence[str]) -> None:
        """Deletes files, those that are there."""
        for uri in uris:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(uri)

    def folders(self, folder: str) -> Iterable[str]:
        """Returns the names of the folders directly below one."""
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
        return []

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Compares and writes while this process alone holds the lock of the folder, so that no file is left behind."""
        folder = os.path.dirname(uri) or "."
        os.makedirs(folder, exist_ok=True)
        with locked(folder):
            return super().replace(uri, data, version)

    @contextlib.contextmanager
    def create(self, uri: str) -> Iterator[BinaryIO]:
        """Writes under a temporary name beside the file; fsync and rename when the block ends."""
        folder, name = os.path.split(uri)
        os.makedirs(folder or ".", exist_ok=True)
        temporary = os.path.join(folder, partial_name(name))
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less what the umask takes away
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, uri)
        except BaseException:
            os.unlink(temporary)
            raise


def _walk(folder: str, depth: int | None, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the paths of files below a folder that are whole; links to folders are followed, but never in a circle.

    Args:
      folder: empty for the working folder, whose files are named without it.
      depth: levels of folders to go down; None for all.
      above: the real paths of the folders whose links lead here.

    Raises:
      OSError: a folder cannot be listed.
    """
    try:
        with os.scandir(folder or ".") as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or never there
        return
    for entry in entries:
        path = os.path.join(folder, entry.name)
        if not entry.is_dir():
            if not is_partial(entry.name):
                yield path
        elif depth is None or depth > 0:
            way = (*above, os.path.realpath(folder or ".")) if entry.is_symlink() else above
            if not (entry.is_symlink() and _leads_up(path, way)):
                yield from _walk(path, None if depth is None else depth - 1, way)


def _leads_up(link: str, way: Sequence[str]) -> bool:
    """Tells whether a link leads to a folder in which the walk is already."""
    target = os.path.join(os.path.realpath(link), "")
    return any(f"{folder}/".startswith(target) for folder in way)
