"""A real HTTP proxy between a job and a storage server: notes every request, and fails those it is told to fail."""

import contextlib
import dataclasses
import http.client
import socket
import struct
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")
_OURS = (*_HOP, "date", "server")  # of an answer: http.server writes its own


@dataclasses.dataclass
class Request:
    """One request as the proxy saw it.

    ``fault`` is None, or a status to answer instead of asking the server, or ``reset`` (hang up at once), ``lost`` (ask
    the server, then hang up), ``truncate`` (hang up amid the answer), ``cut`` (hang up on both amid the request).
    """

    method: str
    path: str
    body: int
    head: bytes = b""  # of the body: one kind of upload names the object there
    fault: object = None
    answered: int = 0


class Proxy:
    """Passes requests on.

    ``plan(request)`` says how to fail one; ``after(request)`` is called when a failed one is over.
    """

    def __init__(self, bucket, plan=lambda request: None, after=lambda request: None):
        self.requests = []
        self._lock = threading.Lock()
        self._plan, self._after = plan, after
        self.target = urllib.parse.urlparse(bucket.address).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *said):
                pass

            def do_GET(self):
                proxy._handle(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_GET

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def faults(self):
        """Returns the faults so far, in order."""
        return [request.fault for request in self.requests if request.fault]

    def _handle(self, handler):
        body = _body(handler)
        request = Request(handler.command, urllib.parse.unquote(handler.path), len(body), body[:500])
        with self._lock:
            self.requests.append(request)
            request.fault = self._plan(request)
        with contextlib.suppress(OSError):
            self._answer(handler, request, body)
        if request.fault:
            self._after(request)

    def _answer(self, handler, request, body):
        if isinstance(request.fault, int):
            handler.send_response(request.fault)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if request.fault == "reset":
            return _hang_up(handler)
        if request.fault == "cut":
            _half_a_request(handler, self.target, body)
            return _hang_up(handler)
        status, headers, content = self._ask(handler, body)
        if request.fault == "lost":
            return _hang_up(handler)
        length = headers.pop("content-length", None) if request.method == "HEAD" else str(len(content))
        handler.send_response(status)
        for name, value in {**headers, **({"Content-Length": length} if length else {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        sent = content[: len(content) // 2] if request.fault == "truncate" else content
        if request.method != "HEAD":
            handler.wfile.write(sent)
            request.answered = len(sent)
        if request.fault == "truncate":
            _hang_up(handler)

    def _ask(self, handler, body):
        """Returns status, headers and content; addresses of the server in them become the proxy's."""
        connection = http.client.HTTPConnection(self.target, timeout=60)
        headers = {n: v for n, v in handler.headers.items() if n.lower() not in (*_HOP, "expect", "host")}
        connection.request(handler.command, handler.path, body, {**headers, "Host": self.target})
        answer = connection.getresponse()
        content = answer.read()
        here = f"127.0.0.1:{self.port}"
        if "json" in answer.headers.get("content-type", ""):
            content = content.replace(self.target.encode(), here.encode())
        kept = {n.lower(): v.replace(self.target, here) for n, v in answer.headers.items() if n.lower() not in _OURS}
        if handler.command == "HEAD" and answer.headers.get("content-length"):
            kept["content-length"] = answer.headers["content-length"]
        connection.close()
        return answer.status, kept, content


def _body(handler):
    if "chunked" in handler.headers.get("Transfer-Encoding", ""):
        pieces = []
        while size := int(handler.rfile.readline(), 16):
            pieces.append(handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return b"".join(pieces)
    return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))


def _half_a_request(handler, target, body):
    host, port = target.split(":")
    with socket.create_connection((host, int(port))) as server:
        lines = [f"{handler.command} {handler.path} HTTP/1.1", f"Host: {target}", f"Content-Length: {len(body)}"]
        lines += [f"{n}: {v}" for n, v in handler.headers.items() if n.lower() not in (*_HOP, "expect", "host")]
        server.sendall("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])


def _hang_up(handler):
    """Resets the connection: what was sent may be lost, and nothing more comes."""
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
