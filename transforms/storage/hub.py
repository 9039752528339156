"""Files of the Hugging Face Hub, ``hf://datasets/OWNER/NAME@REVISION/PATH``: listed and read, never written.

The tree of a repository comes from the Hub's API, page by page; bytes come from its ``resolve`` addresses, whose
redirects lead to where large files lie. Reads need no token where the repository is public.
"""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.storage.client import FileInfo
from transforms.storage.read_only import ReadOnlyStore
from transforms.storage.web import http_store

if TYPE_CHECKING:
    from obstore.store import HTTPStore

ADDRESS = re.compile(
    r"hf://(?P<kind>datasets/|models/|spaces/|)(?P<name>[^/@]+/[^/@]+)"
    r"(@(?P<revision>refs/(convert|pr)/[^/]+|[^/]+))?(/(?P<path>.*))?",
    re.DOTALL,
)
"""The parts of an address; a revision is a branch, a tag or a commit, ``main`` without one."""

_ATTEMPTS = 8
_SECONDS = (10, 60)  # to connect, and without a byte


class HubOptions(PipelineOptions):
    """The flag that says where the Hub is; workers get it with the other flags of stores."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument("--hf_endpoint", default=None, help="address of the Hub; default https://huggingface.co")


class _File(NamedTuple):
    """A place in a repository: ``datasets``, ``OWNER/NAME``, revision, path."""

    kind: str
    name: str
    revision: str
    path: str
    head: str  # the address up to the path

    @classmethod
    def of(cls, uri: str) -> _File:
        found = ADDRESS.fullmatch(uri)
        assert found, uri  # clients.client_of has checked it
        revision = urllib.parse.unquote(found["revision"] or "main")
        path = found["path"] or ""
        head = uri.removesuffix(path).rstrip("/")
        return cls((found["kind"] or "models/")[:-1], found["name"], revision, path, head)


class HubClient(ReadOnlyStore):
    """The ``StoreClient`` of the Hugging Face Hub."""

    def list_prefix(self, prefix: str) -> Iterator[FileInfo]:
        return _files(prefix, recursive=True)

    def folders(self, folder: str) -> Iterator[str]:
        place = _File.of(folder.rstrip("/"))
        for entry in _tree(place, place.path, recursive=False):
            if entry["type"] == "directory":
                yield entry["path"].rpartition("/")[2]

    def stat(self, uri: str) -> FileInfo | None:
        return next((info for info in _files(uri, recursive=False) if info.uri == uri), None)

    def place(self, uri: str) -> tuple[HTTPStore, str]:
        """Returns a connection to the ``resolve`` address of a file, which leads to where it lies."""
        place = _File.of(uri)
        kind = "" if place.kind == "models" else f"{place.kind}/"
        revision = urllib.parse.quote(place.revision, safe="")
        base = f"{_endpoint()}/{kind}{place.name}/resolve/{revision}"
        return http_store(f"{base}/{urllib.parse.quote(place.path)}", _token()), ""


def _endpoint() -> str:
    """Returns the address of the Hub: the flag, else that of ``HF_ENDPOINT``, else the public one."""
    from huggingface_hub import constants

    options = cast(Any, FileSystems)._pipeline_options
    flag = options.view_as(HubOptions).hf_endpoint if isinstance(options, PipelineOptions) else None
    return str(flag or constants.ENDPOINT).rstrip("/")


def _token() -> str:
    """Returns the token of ``HF_TOKEN``, or of ``hf auth login``; "" without one."""
    from huggingface_hub import get_token

    return get_token() or ""


def _files(prefix: str, recursive: bool) -> Iterator[FileInfo]:
    """Yields the files whose addresses begin with ``prefix``, in its folder or also below."""
    place = _File.of(prefix)
    for entry in _tree(place, place.path.rpartition("/")[0], recursive):
        if entry["type"] == "file" and entry["path"].startswith(place.path):
            version = (entry.get("lfs") or entry)["oid"]
            yield FileInfo(f"{place.head}/{entry['path']}", entry["size"], 0.0, version)


@functools.cache
def _session() -> Any:
    import requests
    from urllib3.util import Retry

    retry = Retry(_ATTEMPTS, backoff_factor=0.25, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
    return session


def _tree(place: _File, folder: str, recursive: bool) -> Iterator[dict[str, Any]]:
    """Yields the entries of a folder, 1,000 per request; none where the repository has no such folder.

    Raises:
      requests.exceptions.RequestException: there is no such repository or revision, or the Hub refuses or does not
        answer.
    """
    revision = urllib.parse.quote(place.revision, safe="")
    address = f"{_endpoint()}/api/{place.kind}/{place.name}/tree/{revision}/{urllib.parse.quote(folder)}".rstrip("/")
    address += f"?recursive={recursive}&expand=False"
    token = _token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    while address:
        answer = _session().get(address, headers=headers, timeout=_SECONDS)
        if answer.status_code == 404 and answer.headers.get("X-Error-Code") == "EntryNotFound":
            return
        answer.raise_for_status()
        yield from answer.json()
        address = answer.links.get("next", {}).get("url", "")
