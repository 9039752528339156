"""Files at https:// and http:// addresses: read by ranges, redirects followed; a web server is never listed or written.

A query (``?X-Amz-Signature=...``) is part of the address that is asked for, and no part of what names a file: it may
change every day, and messages leave it out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from transforms.lib.errors import MissingError, StoreError
from transforms.storage.client import FileInfo
from transforms.storage.object_store import ObjectStore, RangeReader

if TYPE_CHECKING:
    from obstore.store import HTTPStore

_PLAIN = re.compile(r"(https?://[^/?#]+)/((?:[\w.~-]+/)*[\w.~-]+)", re.ASCII)  # what no client would write otherwise
_STORES = 16  # servers with connections that are kept


def cannot_write(uri: str) -> str:
    """Returns the line about writing to a store that is only read."""
    scheme = uri.partition("://")[0]
    return f"{uri}: {scheme}:// is read, never written; name a local folder, gs://, s3:// or az://"


def refuse_writing(uri: str) -> NoReturn:
    """Raises what a client says that reads only."""
    raise StoreError(cannot_write(uri))


class WebClient(ObjectStore):
    """The ``StoreClient`` of web servers."""

    writes = False
    lists = False

    def match(self, pattern: str) -> Iterator[FileInfo]:
        """Yields the one file of an address, if it is there.

        Raises:
          StoreError: the address is a glob or a folder.
        """
        if "*" in pattern.partition("?")[0] or pattern.endswith("/"):
            self.list_prefix(pattern)
        return filter(None, [self.stat(pattern)])

    def list_prefix(self, prefix: str) -> NoReturn:
        raise StoreError(
            f"{prefix}: a web server cannot be listed; name every file, with braces ({{00000..00127}}) or in @FILE"
        )

    def folders(self, folder: str) -> NoReturn:
        self.list_prefix(folder)

    def stat(self, uri: str) -> FileInfo | None:
        from transforms.storage.obstore_reader import facts_of, open_object

        store, path = _place(uri)
        try:
            facts = facts_of(store, path) or {"size": open_object(store, path).size}
        except FileNotFoundError:
            return None
        changed = facts.get("last_modified")
        return FileInfo(uri, facts["size"], changed.timestamp() if changed else 0.0, facts.get("e_tag") or "")

    def exists(self, uri: str) -> bool:
        return self.stat(uri) is not None

    def read_bytes(self, uri: str) -> bytes:
        from transforms.storage.obstore_reader import read_object

        return read_object(*_place(uri))

    def reader(self, uri: str) -> RangeReader:
        from transforms.storage.obstore_reader import open_object

        return open_object(*_place(uri))

    def put(self, uri: str, file: BinaryIO) -> None:
        refuse_writing(uri)

    def read_version(self, uri: str) -> NoReturn:
        refuse_writing(uri)

    def replace(self, uri: str, data: bytes, version: str) -> NoReturn:
        refuse_writing(uri)

    def copy(self, source: str, target: str) -> NoReturn:
        refuse_writing(target)

    def delete(self, uris: Sequence[str]) -> None:
        refuse_writing(uris[0])


def _place(uri: str) -> tuple[HTTPStore, str]:
    """Returns a connection and a path on it; what is quoted, or has a query, is an address of its own."""
    plain = _PLAIN.fullmatch(uri)
    if plain and not {".", ".."} & set(plain[2].split("/")):
        return http_store(plain[1]), plain[2]
    try:
        return http_store.__wrapped__(uri), ""
    except Exception as error:
        raise MissingError(f"{uri} is no web address: {error}; check it") from None


@functools.lru_cache(_STORES)
def http_store(base: str, token: str = "") -> HTTPStore:
    """Returns connections to a web server; files are named by their paths below ``base``.

    Args:
      base: address without a query, or the whole address of one file.
      token: sent as ``Authorization: Bearer``, to this server only; "" sends none.
    """
    from obstore.store import HTTPStore

    from transforms.storage.obstore_reader import RETRIES, client_options

    headers = {"authorization": f"Bearer {token}"} if token else None
    return HTTPStore.from_url(base, client_options=cast(Any, client_options(headers)), retry_config=cast(Any, RETRIES))
