"""Every selection of an output folder, of whatever name: which are whole, and what records them."""

from __future__ import annotations

import json

from transforms.outputs import json_files, sealed_json
from transforms.outputs.json_files import Document
from transforms.outputs.selections import CURRENT, FOLDER, ID, MARKER, SHOWN, Selection, path_of
from transforms.storage import filesystem, links

_CURE = "it was cut or changed: run `winnow select` again"


def whole(root: str) -> list[Selection]:
    """Returns the whole selections, by ID; that of Winnow 0.1 has an empty one. Their files are not looked at."""
    found = [Selection(root, "", 0)] if _is_older(root) else []
    for one in _ids(root):
        if marker := _marker(root, one):
            found.append(Selection(root, one, marker["copies"], marker["shards"], "", marker.get("digests", {})))
    return found


def unfinished(root: str) -> list[str]:
    """Returns the addresses of all files of selections that were begun and are not whole."""
    folders = [filesystem.join(root, FOLDER, one) for one in _ids(root) if not _marker(root, one)]
    return [info.uri for folder in folders for info in filesystem.children(folder)]


def record_again(selection: Selection, books: Document) -> None:
    """Writes ``selection.json`` anew, after files of a selection were changed; shows those of the current one.

    Args:
      selection: a whole one.
      books: the content of its ``books.json``, which is there.
    """
    root = selection.root
    if not selection.id:
        return
    marker = _marker(root, selection.id)
    counts = {count: books[count] for count in ("shards", "samples", "kept", "copies")}
    sizes, digests = {}, {}
    for name in marker["files"]:
        sizes[name], digests[name] = filesystem.digest(selection.uri(name))
    told = sealed_json.sealed({**marker, **counts, "files": sizes, "digests": digests})
    data = json.dumps(told, indent=1, sort_keys=True).encode() + b"\n"
    filesystem.write_atomic(selection.uri(MARKER), data)
    if _read(filesystem.join(root, FOLDER, f"{CURRENT}.json")).get("id") == selection.id:
        links.show(root, path_of(selection.id, ""), f"{FOLDER}/{CURRENT}", SHOWN)


def _read(uri: str) -> Document:
    return json_files.read(uri, _CURE)


def _marker(root: str, selection: str) -> Document:
    return _read(filesystem.join(root, path_of(selection, MARKER)))


def _ids(root: str) -> list[str]:
    return [name for name in filesystem.folders(filesystem.join(root, FOLDER)) if ID.fullmatch(name)]


def _is_older(root: str) -> bool:
    pointer = _read(filesystem.join(root, FOLDER, f"{CURRENT}.json"))
    return not pointer and bool(_read(filesystem.join(root, "books.json")))
