"""Serves pages to a browser on this machine alone: a secret in each address, no other host's name, nothing written."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

ADDRESS = "127.0.0.1"
_TOKEN_BYTES = 18
_MOST_QUERY = 4096  # characters


class Answer(NamedTuple):
    """What a browser gets.

    Attributes:
      body: bytes.
      kind: its media type.
      headers: others.
      status: of HTTP.
    """

    body: bytes
    kind: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = {}
    status: int = 200


Work = Callable[[Mapping[str, list[str]]], Answer]
"""Makes the answer of one address from the fields of its query."""


class LocalServer(ThreadingHTTPServer):
    """A server on the loopback address.

    Args:
      pages: last part of the address -> what answers; "" is the first page.
      port: 0 for any that is free.

    Raises:
      OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, pages: Mapping[str, Work], port: int) -> None:
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.pages = pages
        super().__init__((ADDRESS, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that went away before it had its answer; any other error is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Address of the first page, with the secret."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    server_version = "winnow"
    sys_version = ""

    def do_GET(self) -> None:
        self._send(self._answer())

    def _answer(self) -> Answer:
        hosts = {f"{name}:{self.server.server_port}" for name in (ADDRESS, "localhost")}
        if self.headers.get("Host", "") not in hosts:  # another site's name that was made to lead here
            return Answer(b"wrong host", "text/plain", status=403)
        parts = urlsplit(self.path)
        token, _, name = parts.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            return Answer(b"wrong address: use the one that winnow printed", "text/plain", status=403)
        work = self.server.pages.get(name)
        if work is None or len(parts.query) > _MOST_QUERY:
            return Answer(b"there is no such page", "text/plain", status=404)
        return work(parse_qs(parts.query, keep_blank_values=True, max_num_fields=64))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.kind,
            "Content-Length": str(len(answer.body)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: the address has the secret."""
