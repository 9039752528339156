"""Objects at gs:// addresses: listed, read by ranges, and put in one piece, by one client a process.

Beam's file system makes a client for every call, its reader asks once more at the end of every file, and its writer
opens a session for every file, which is lost with its last answer. So Beam's client (``GcsIO``, with its credentials
and its retries) is kept, and files are put from their start: up to 8 MiB in one request, larger ones in a session that
is begun again when it is lost.

Every function raises what the client raises; ``storage`` turns it into a line.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from apache_beam.io.filesystem import FileSystem
from apache_beam.io.filesystemio import Downloader
from apache_beam.io.filesystems import FileSystems

from transforms.storage import readers

if TYPE_CHECKING:
    from apache_beam.io.gcp.gcsio import GcsIO

_SESSIONS = 4  # begun for one file, at most
_AT_ONCE = 8  # deletions


def match(pattern: str) -> Iterator[tuple[str, int, float]]:
    """Yields address, bytes and time of last change (seconds) of the objects that a glob pattern matches."""
    wanted = re.compile(FileSystem.translate_pattern(pattern))
    for uri, (size, updated) in _io().list_files(re.split(r"[*?\[]", pattern, maxsplit=1)[0], with_metadata=True):
        if wanted.match(uri):
            yield uri, size, updated


def folders(folder: str) -> Iterator[str]:
    """Yields the names of the folders directly below one; a request a thousand of them, whatever they hold."""
    bucket, _, key = (folder.rstrip("/") + "/").removeprefix("gs://").partition("/")
    asked = {"prefix": key, "delimiter": "/", "fields": "prefixes,nextPageToken", "retry": _io()._storage_client_retry}
    for page in _io().client.list_blobs(bucket, **asked).pages:
        yield from (name[len(key) :].rstrip("/") for name in page.prefixes)


def exists(uri: str) -> bool:
    """Tells whether an object is there."""
    return bool(_io().exists(uri))


def read_bytes(uri: str) -> bytes:
    """Returns a whole object, in one request."""
    return bytes(_blob(uri).download_as_bytes(raw_download=True, retry=_io()._storage_client_retry))


def open_read(uri: str) -> BinaryIO:
    """Opens an object for reading it through, 16 MiB at a time; a small one is held whole, however it is read."""
    return readers.through(_Object(uri))


def open_ranges(uri: str) -> BinaryIO:
    """Opens an object for reads that ask for what they are asked for and no more."""
    return readers.ranges(_Object(uri))


def put(uri: str, file: BinaryIO) -> None:
    """Makes an object of a file that stands at its start; it appears whole, or, after an error, not at all."""
    from google.api_core.exceptions import GoogleAPICallError

    for left in reversed(range(_SESSIONS)):
        try:
            return _put(uri, file)
        except GoogleAPICallError as error:
            if not (left and error.code in (404, 410) and file.tell()):  # the session is gone, or there is no bucket
                raise


def _put(uri: str, file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    how: dict[str, Any] = {"content_type": "application/octet-stream", "retry": _io()._storage_client_retry}
    _blob(uri).upload_from_file(file, size=size, checksum="crc32c", **how)


def delete(uris: Sequence[str]) -> None:
    """Deletes objects; those that are not there are no error."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(_io().delete, uris))


@functools.cache
def _io() -> GcsIO:
    """Returns this process's client, made from the options that Beam's file systems have when it is first needed.

    Credentials that are named must be there: Beam would go on without any, and be refused after many retries.

    Raises:
      google.auth.exceptions.DefaultCredentialsError: GOOGLE_APPLICATION_CREDENTIALS names no credentials.
    """
    import google.auth

    if os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        google.auth.default()
    system = cast(Any, FileSystems.get_filesystem("gs://"))
    return cast("GcsIO", system._gcsIO())


def _blob(uri: str) -> Any:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return _io().client.bucket(bucket).blob(name)


class _Object(Downloader):
    """Reads byte ranges of one version of an object."""

    def __init__(self, uri: str) -> None:
        self._blob = _blob(uri)
        self._retry = _io()._storage_client_retry
        self._blob.reload(retry=self._retry)
        self._version = self._blob.generation

    @property
    def size(self) -> int:
        return int(self._blob.size)

    def get_range(self, start: int, end: int) -> bytes:
        which = {"start": start, "end": end - 1, "if_generation_match": self._version}
        found: bytes = self._blob.download_as_bytes(**which, raw_download=True, checksum=None, retry=self._retry)
        return found
