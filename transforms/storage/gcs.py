"""Objects at gs:// addresses: listed, read by ranges, and put in one piece, by one client per process.

Beam's file system makes a client for every call, its reader asks once more at the end of every file, and its writer
opens a session for every file, which is lost with its last answer. So Beam's client (``GcsIO``, with its credentials
and its retries) is kept, and files are put from their start: up to 8 MiB in one request, larger ones in a session that
is begun again when it is lost.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.storage.client import FileInfo
from transforms.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from apache_beam.io.gcp.gcsio import GcsIO

_SESSIONS = 4  # upload sessions per file, at most
_AT_ONCE = 8  # deletions at a time


class GcsOptions(PipelineOptions):
    """The flag that says who pays for requests; workers get it with the other flags of stores."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--gcs_user_project", default=None, help="project that pays for requests to requester-pays buckets"
        )


class GcsClient(ObjectStore):
    """The ``StoreClient`` of Google Cloud Storage."""

    def list_prefix(self, prefix: str) -> Iterator[FileInfo]:
        for uri, (size, updated) in _io().list_files(prefix, with_metadata=True):
            yield FileInfo(uri, size, updated)

    def folders(self, folder: str) -> Iterator[str]:
        """Yields the names of the folders directly below one, 1,000 per request, whatever they hold."""
        bucket, _, key = (folder.rstrip("/") + "/").removeprefix("gs://").partition("/")
        names_only = {"prefix": key, "delimiter": "/", "fields": "prefixes,nextPageToken"}
        for page in (
            _io().client.list_blobs(_io().client.bucket(bucket), **names_only, retry=_io()._storage_client_retry).pages
        ):
            yield from (name[len(key) :].rstrip("/") for name in page.prefixes)

    def exists(self, uri: str) -> bool:
        return bool(_io().exists(uri))

    def read_bytes(self, uri: str) -> bytes:
        return bytes(_blob(uri).download_as_bytes(raw_download=True, retry=_io()._storage_client_retry))

    def reader(self, uri: str) -> _Object:
        return _Object(uri)

    def put(self, uri: str, file: BinaryIO) -> None:
        from google.api_core.exceptions import GoogleAPICallError

        for left in reversed(range(_SESSIONS)):
            try:
                return _put(uri, file)
            except GoogleAPICallError as error:
                if not (left and error.code in (404, 410) and file.tell()):  # the session, or the bucket, is gone
                    raise

    def read_version(self, uri: str) -> tuple[bytes, str]:
        from google.api_core.exceptions import PreconditionFailed

        while True:  # an object that is replaced between the two requests is read anew
            reader = self.reader(uri)
            with contextlib.suppress(PreconditionFailed):
                return (reader.get_range(0, reader.size) if reader.size else b""), str(reader.version)

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Puts an object by ``ifGenerationMatch``, 0 where there is none."""
        from google.api_core.exceptions import PreconditionFailed

        try:
            _put(uri, io.BytesIO(data), if_generation_match=int(version or 0))
        except PreconditionFailed:
            return False
        return True

    def copy(self, source: str, target: str) -> None:
        _io().copy(source, target)

    def delete(self, uris: Sequence[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(_io().delete, uris))


def _put(uri: str, file: BinaryIO, **condition: int) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    options: dict[str, Any] = {"content_type": "application/octet-stream", "retry": _io()._storage_client_retry}
    options |= condition
    _blob(uri).upload_from_file(file, size=size, checksum="crc32c", **options)


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
    io_ = cast("GcsIO", system._gcsIO())
    options = FileSystems._pipeline_options
    payer = options.view_as(GcsOptions).gcs_user_project if isinstance(options, PipelineOptions) else None
    if payer:
        _let_pay(io_.client, payer)
    return io_


def _let_pay(client: Any, project: str) -> None:
    """Makes every bucket of a client, and so of Beam, one whose requests name the project that pays."""
    bucket, get_bucket = client.bucket, client.get_bucket
    client.bucket = functools.partial(bucket, user_project=project)
    client.get_bucket = lambda name, *args, **settings: get_bucket(
        client.bucket(name) if isinstance(name, str) else name, *args, **settings
    )


def _blob(uri: str) -> Any:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return _io().client.bucket(bucket).blob(name)


class _Object:
    """Reads byte ranges of one version of an object."""

    def __init__(self, uri: str) -> None:
        self._retry = _io()._storage_client_retry
        found = _blob(uri)
        found.reload(retry=self._retry)
        self._size, self.version = int(found.size), found.generation
        self._blob = _blob(uri)  # without the server's link, in which not every server quotes the name

    @property
    def size(self) -> int:
        return self._size

    def get_range(self, start: int, end: int) -> bytes:
        span = {"start": start, "end": end - 1, "if_generation_match": self.version}
        return bytes(self._blob.download_as_bytes(**span, raw_download=True, checksum=None, retry=self._retry))
