"""Byte ranges of one version of an object, through obstore: what the clients of the web, the Hub and Azure share."""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import NotSupportedError, PreconditionError

from transforms.storage.object_store import RangeReader

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Store

RETRIES: dict[str, Any] = {
    "max_retries": 8,
    "retry_timeout": datetime.timedelta(minutes=3),
    "backoff": {"init_backoff": datetime.timedelta(seconds=0.25), "max_backoff": datetime.timedelta(seconds=15)},
}
"""Answers 429 and 5xx, and broken connections, are asked for again: as often as on s3://."""

_EMPTY = "status code: 416"  # the answer to a range of an empty file


def client_options(headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns how connections are made: 10 s to connect, 60 s without a byte, 10 minutes per request."""
    return {
        "allow_http": True,
        "connect_timeout": datetime.timedelta(seconds=10),
        "read_timeout": datetime.timedelta(seconds=60),
        "timeout": datetime.timedelta(minutes=10),
        "default_headers": dict(headers or {}),
    }


def facts_of(store: Store, path: str) -> Mapping[str, Any] | None:
    """Returns ``size``, ``e_tag`` and ``last_modified`` of an object.

    It asks for the first byte: a signed address, and the place that the Hub leads to, may answer no HEAD.

    Returns:
      None where the server gives no byte ranges.
    """
    try:
        return obstore.get(store, path, options={"range": (0, 1)}).meta
    except NotSupportedError:
        return None
    except obstore.exceptions.GenericError as error:
        if _EMPTY not in str(error):
            raise
        return obstore.get(store, path).meta


def open_object(store: Store, path: str) -> RangeReader:
    """Returns what reads byte ranges of the version of an object that is there now.

    Raises:
      obstore.exceptions.BaseError, FileNotFoundError: there is none, or the store refuses or does not answer.
    """
    facts = facts_of(store, path)
    return _Fetched(store, path) if facts is None else ObjectReader(store, path, facts)


def read_object(store: Store, path: str) -> bytes:
    """Returns a whole object, in one request. Errors as ``open_object``."""
    return bytes(obstore.get(store, path).bytes())


class ObjectReader(RangeReader):
    """Reads byte ranges, and compares the version of each answer: not every server looks at ``If-Match``."""

    def __init__(self, store: Store, path: str, facts: Mapping[str, Any]) -> None:
        self._store, self._path = store, path
        self._version = _version(facts)

    @property
    def size(self) -> int:
        return int(self._version[0])

    def get_range(self, start: int, end: int) -> bytes:
        answer = obstore.get(self._store, self._path, options={"range": (start, end)})
        if _version(answer.meta) != self._version:
            raise PreconditionError("it is another version now")
        return bytes(answer.bytes())


class _Fetched:
    """Reads byte ranges of a copy on this machine's disk, from a server that gives whole files only."""

    def __init__(self, store: Store, path: str) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is gone with this object
        for piece in obstore.get(store, path).stream():
            self._file.write(piece)
        self._file.flush()

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def get_range(self, start: int, end: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < end - start and (
            piece := os.pread(self._file.fileno(), end - start - len(pieces), start + len(pieces))
        ):
            pieces += piece
        return bytes(pieces)


def _version(facts: Mapping[str, Any]) -> tuple[int, str | None, Any]:
    return facts["size"], facts["e_tag"], facts["last_modified"]
