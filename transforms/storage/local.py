"""Files on this machine's disks, and on any other file system that Beam knows and Winnow has no client for."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from transforms.storage.client import FileInfo, staged

_PARTIAL = ".partial"
_BYTES = "application/octet-stream"
_PIECE_BYTES = 1 << 24


def is_partial(name: str) -> bool:
    """Tells whether a file's name is that of one that is half written, now or by a run that was killed."""
    return name.startswith(".") and name.endswith(_PARTIAL)


class BeamClient:
    """A ``StoreClient`` that calls Beam's file systems."""

    def match(self, pattern: str) -> Iterable[FileInfo]:
        """Returns the files that a glob pattern matches."""
        listed = FileSystems.match([pattern])[0].metadata_list
        return [FileInfo(m.path, m.size_in_bytes, m.last_updated_in_seconds or 0.0) for m in listed]

    def folders(self, folder: str) -> Iterable[str]:
        """Returns the names of the folders directly below one, from the addresses of all files below it."""
        base = folder.rstrip("/") + "/"
        with contextlib.suppress(BeamIOError):
            below = [info.uri[len(base) :] for info in self.match(f"{base}**")]
            return {path.partition("/")[0] for path in below if "/" in path}
        return []

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

    def delete(self, uris: Sequence[str]) -> None:
        """Deletes files, those that are there."""
        if present := [uri for uri in dict.fromkeys(uris) if self.exists(uri)]:
            FileSystems.delete(present)


class LocalClient(BeamClient):
    """The client of this machine's own file system."""

    def match(self, pattern: str) -> Iterable[FileInfo]:
        """Returns the files that a glob pattern matches; one that is half written is not among them."""
        return [info for info in super().match(pattern) if not is_partial(os.path.basename(info.uri))]

    def folders(self, folder: str) -> Iterable[str]:
        """Returns the names of the folders directly below one."""
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
        return []

    @contextlib.contextmanager
    def create(self, uri: str) -> Iterator[BinaryIO]:
        """Writes under a temporary name beside the file; fsync and rename when the block ends."""
        folder, name = os.path.split(uri)
        os.makedirs(folder or ".", exist_ok=True)
        temporary = os.path.join(folder, f".{name}.{secrets.token_urlsafe(6)}{_PARTIAL}")
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
