"""A web server on loopback over a folder: byte ranges, versions, redirects; and the paths of the Hub's API.

``/x`` is the file ``x``. ``/whole/x`` gives no ranges. ``/signed/x`` wants ``?sig=SECRET``. ``/private/x`` wants the
token. A repository ``datasets/OWNER/NAME`` is the folder of that name, with a folder per revision. Its files are
redirected, as the Hub does with large ones, to signed addresses of a second server, which must not see the token.
"""

import contextlib
import dataclasses
import email.utils
import hashlib
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "hf_loopback"
PAGE = 1000


@dataclasses.dataclass(frozen=True)
class Asked:
    method: str
    path: str
    range: str | None
    token: bool
    port: int


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: "Web"

    def log_message(self, *said):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        port, allowed = self.server.server_address[1], f"Bearer {TOKEN}" == self.headers.get("Authorization")
        self.web.asked.append(Asked(self.command, self.path, self.headers.get("Range"), allowed, port))
        path = urllib.parse.unquote(self.path.partition("?")[0])
        query = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        kind, _, rest = path.lstrip("/").partition("/")
        if (kind == "signed" and query.get("sig") != "SECRET") or (kind == "private" and not allowed):
            return self._answer(403, b"no")
        if kind == "api":
            return self._tree(path.removeprefix("/api/"), query)
        if "/resolve/" in path and (self.web.root / path.replace("/resolve/", "/", 1).lstrip("/")).is_file():
            quoted = urllib.parse.quote(path.replace("/resolve/", "/", 1))
            return self._answer(302, b"", {"Location": f"{self.web.other}/signed{quoted}?sig=SECRET"})
        self._file(
            self.web.root / (rest if kind in ("signed", "private", "whole") else path.lstrip("/")), kind != "whole"
        )

    def _file(self, path, ranges):
        try:
            data = path.read_bytes()
        except OSError:
            return self._answer(404, b"no such file")
        about = {"ETag": f'"{hashlib.md5(data).hexdigest()}"',
                 "Last-Modified": email.utils.formatdate(path.stat().st_mtime, usegmt=True)}  # fmt: skip
        span = self.headers.get("Range", "").removeprefix("bytes=")
        if not (ranges and span):
            return self._answer(200, data, about)
        start, end = int(span.split("-")[0]), min(int(span.split("-")[1]) + 1, len(data))
        if start >= len(data):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        self._answer(206, data[start:end], about | {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})

    def _tree(self, path, query):
        kind, owner, name, _, *rest = path.split("/")
        revision = urllib.parse.unquote(rest[0])
        repository = self.web.root / kind / owner / name / revision
        folder = repository.joinpath(*rest[1:])
        if not repository.is_dir():
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if not folder.is_dir():
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        found = sorted(folder.rglob("*") if query["recursive"] == "True" else folder.iterdir())
        start = int(query.get("cursor", 0))
        entries = [self._entry(path, str(path.relative_to(repository))) for path in found[start : start + PAGE]]
        more = self.path.partition("?")[0] + f"?recursive={query['recursive']}&cursor={start + PAGE}"
        link = {"Link": f'<{self.web.address}{more}>; rel="next"'} if start + PAGE < len(found) else {}
        self._answer(200, json.dumps(entries).encode(), link)

    def _entry(self, path, name):
        if path.is_dir():
            return {"type": "directory", "oid": "0", "size": 0, "path": name}
        data = path.read_bytes()
        lfs = {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
        return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": name} | lfs

    def _answer(self, status, data, headers=()):
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Web:
    """Two servers of one folder; ``address`` is the first, and what each was asked for is in ``asked``."""

    def __init__(self, root):
        self.root = Path(root)
        self.asked = []
        handler = type("Handler", (_Handler,), {"web": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        self.address, self.other = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    @contextlib.contextmanager
    def running(self):
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            for server in self._servers:
                server.shutdown()
                server.server_close()

    def upload(self, name, data):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
