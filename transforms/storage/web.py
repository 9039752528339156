"""Files at https:// and http:// addresses: read by ranges, redirects followed; a web server is never listed or written.

A query (``?X-Amz-Signature=...``) is part of the address that is asked for, and no part of what names a file: it may
change every day, and messages leave it out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, cast

from transforms.lib.errors import MissingError, StoreError
from transforms.storage.client import FileInfo
from transforms.storage.read_only import ReadOnlyStore

if TYPE_CHECKING:
    from obstore.store import HTTPStore

_PLAIN = re.compile(r"(https?://[^/?#]+)/((?:[\w.~-]+/)*[\w.~-]+)", re.ASCII)  # what no client would write otherwise
_STORES = 16  # servers with connections that are kept


class WebClient(ReadOnlyStore):
    """The ``StoreClient`` of web servers."""

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

        store, path = self.place(uri)
        try:
            facts = facts_of(store, path) or {"size": open_object(store, path).size}
        except FileNotFoundError:
            return None
        changed = facts.get("last_modified")
        return FileInfo(uri, facts["size"], changed.timestamp() if changed else 0.0, facts.get("e_tag") or "")

    def place(self, uri: str) -> tuple[HTTPStore, str]:
        """Returns a connection and a path on it; what is quoted, or has a query, is an address of its own."""
        from obstore.exceptions import BaseError

        plain = _PLAIN.fullmatch(uri)
        if plain and not {".", ".."} & set(plain[2].split("/")):
            return http_store(plain[1]), plain[2]
        try:
            return http_store.__wrapped__(uri), ""
        except (ValueError, BaseError) as error:
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
