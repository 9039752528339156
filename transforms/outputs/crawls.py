"""Crawls beside one another: what each rests on, whether it is complete, and which one is the latest.

ROOT/latest.json                 the crawl that readers should take; one put moves it
ROOT/crawls/ID/crawl.json        what the crawl rests on, and what became of it
ROOT/crawls/ID/...               an output folder as any other
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from transforms.lib.errors import InputError
from transforms.lib.stats import crawl_summary
from transforms.outputs import json_files
from transforms.outputs.json_files import Document
from transforms.storage import filesystem, versions

NAME = "crawl.json"
LATEST = "latest.json"
SUBSET = "subset.npy"
SUMMARIES = "summaries"
NONE = "none"  # in place of the crawl that one is compared with
_AT_ONCE = 16  # crawl.json read
SCORE = "score/"  # what the names of the arrays of the score begin with
_CURE = "it was not written by Winnow, or was changed: put it back"


@dataclasses.dataclass(frozen=True)
class Basis:
    """What the fit of a pool rests on beside its own columns; nothing, unless it is one of many crawls.

    Attributes:
      states: the solved states that are taken as they are; None to fit.
      memories: addresses of the summaries of earlier crawls, over which steps are fitted too.
      names: for each step, the name of its memory there; empty for one that fits nothing.
    """

    states: tuple[Any, ...] | None = None
    memories: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


ALONE = Basis()
"""Of a pool that is fitted on itself."""


def split(output: str) -> tuple[str, str]:
    """Returns (ROOT, ID) of a crawl's folder ``ROOT/crawls/ID``."""
    folder, _, crawl = output.rstrip("/").rpartition("/")
    return folder.rpartition("/")[0], crawl


def folder(root: str, crawl: str) -> str:
    """Returns the folder of a crawl."""
    return filesystem.join(root, "crawls", crawl)


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read(output: str) -> Document:
    """Returns what is known of the crawl in a folder; empty when it is none yet."""
    return json_files.read(filesystem.join(output, NAME), _CURE)


def write(output: str, document: Mapping[str, Any]) -> None:
    """Writes down what is known of a crawl."""
    filesystem.write_atomic(filesystem.join(output, NAME), _bytes(document))


def latest(root: str) -> Document:
    """Returns ``latest.json``; empty when no crawl was published yet.

    Raises:
      InputError: it does not name a crawl, and the one before it.
    """
    uri = filesystem.join(root, LATEST)
    return _checked(json_files.read(uri, _CURE), uri)


def _checked(document: Document, uri: str) -> Document:
    names = all(isinstance(document.get(name), str) for name in ("crawl_id", "previous"))
    if document and not (names and document["crawl_id"]):
        raise InputError(
            f"{uri} lacks crawl_id or previous; it was not written by Winnow, or was changed: put it back, or delete "
            "it and publish again"
        )
    return document


def predecessor(output: str, compare_with: str = "") -> str:
    """Returns the id of the crawl that one is compared with; empty for none.

    Args:
      output: the crawl's folder.
      compare_with: a crawl's id, ``none``, or empty for the latest, or when that is this one, the latest before.

    Raises:
      InputError: that crawl is gone.
    """
    root, crawl = split(output)
    known = latest(root)
    against = known.get("crawl_id", "")
    if against == crawl:
        against = known["previous"]
    against = "" if compare_with == NONE else compare_with or against
    place = folder(root, against)
    if against and not (read(place) and filesystem.exists(filesystem.join(place, SUBSET))):
        raise InputError(
            f"{place} is gone, and crawl {crawl} is to be compared with it; put it back, or give --compare_with and "
            f"the id of another crawl, or --compare_with {NONE}"
        )
    return against


def move_latest(root: str, document: Mapping[str, Any], *, allow_older: bool) -> None:
    """Lets ``latest.json`` name another crawl, unless a later one was published meanwhile.

    Args:
      root: that the crawls are below.
      document: of the crawl.
      allow_older: it may follow one whose id sorts after its own.
    """
    uri = filesystem.join(root, LATEST)

    def moved(data: bytes | None) -> bytes:
        present = _checked(json_files.parse(data, uri, _CURE), uri)
        if data is not None and not allow_older and document["crawl_id"] < present.get("crawl_id", ""):
            return data
        return _bytes(document)

    versions.update(uri, moved)


def published(root: str, before: str) -> dict[str, Document]:
    """Returns id -> what is known of the complete crawls that passed their gate and whose ids sort before another.

    Cost: the folders are listed and not what is in them, and one small file of each is read.
    """
    ids = [crawl for crawl in filesystem.folders(filesystem.join(root, "crawls")) if crawl < before]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        known = zip(ids, threads.map(read, (folder(root, crawl) for crawl in ids)), strict=True)
        return {crawl: one for crawl, one in known if one.get("complete") and one.get("gate", {}).get("passed")}


def summaries(output: str) -> list[str]:
    """Returns the addresses of a crawl's summaries, sorted."""
    found = filesystem.children(filesystem.join(output, SUMMARIES))
    return [info.uri for info in found if info.uri.endswith(".safetensors")]


@contextmanager
def opened(uris: Sequence[str]) -> Iterator[list[crawl_summary.SummaryFile]]:
    """Opens summaries for reading by ranges."""
    with ExitStack() as stack:
        yield [crawl_summary.SummaryFile(stack.enter_context(filesystem.open_ranges(uri))) for uri in uris]
