"""Selections beside one another: where the files of each lie, whether it is whole, and which one a name stands for.

selections/NAME.json            the selection that a name stands for, ``current`` where none was given
selections/ID/selection.json    written last: it is whole, with its counts, and sizes and digests of its files
selections/ID/...               decisions/, books.json, fitted.json, subset.npy and missing.npy

A selection is begun, which its name records, and later it is whole, or never. Below the output folder itself, links
(copies in a bucket) show the files of the selection that ``current`` stands for, and never those of an unfinished one.
An output of Winnow 0.1 has one selection, whose files lie directly below the output folder; its ID is empty.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from transforms.lib import stamps
from transforms.lib.errors import AccountsError, DamagedError, InputError
from transforms.outputs import file_rows, json_files, manifest, sealed_json
from transforms.outputs.json_files import Document
from transforms.rows import FileRow
from transforms.storage import filesystem, links, versions

FOLDER = "selections"
CURRENT = "current"
SUBSET = "subset.npy"
MARKER = "selection.json"
_CURE = "it was cut or changed: run `winnow select` again"
ID = re.compile(r"[0-9a-f]{16}")
SHOWN = ("decisions", "books.json", "fitted.json", SUBSET, "missing.npy")  # below the output folder


def path_of(selection: str, name: str) -> str:
    """Returns the path, below the output folder, of a file of a selection; ``selection`` is its ID."""
    return f"{FOLDER}/{selection}/{name}" if selection else name


def section_of(name: str) -> str:
    """Returns the name of the section of the manifest about the selection of a name."""
    return "select" if name == CURRENT else f"select {name}"


@dataclasses.dataclass(frozen=True)
class Selection:
    """A whole selection.

    Attributes:
      root: the output folder.
      id: 16 hex digits; empty for that of Winnow 0.1.
      copies: how many copies it has.
      shards: of the pool that it was made from; 0 where it does not say.
      name: that it was asked for by; empty when it was asked for by ID.
      digests: name of each of its files, but the decisions -> sha256; empty where it does not say.
    """

    root: str
    id: str
    copies: int
    shards: int = 0
    name: str = CURRENT
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def uri(self, name: str) -> str:
        """Returns the address of one of its files."""
        return filesystem.join(self.root, path_of(self.id, name))

    def read(self, name: str) -> Document:
        """Reads one of its JSON files.

        Raises:
          InputError: it is missing, cut, or of another selection.
          DamagedError: it was edited.
        """
        data = filesystem.read_if_exists(self.uri(name))
        if data is not None and self.digests.get(name, stamps.sha256(data)) != stamps.sha256(data):
            raise _edited(self.uri(name))
        document = _object(data, self.uri(name))
        if not document or document.get("selection", "") != self.id:
            raise InputError(f"{self.uri(name)} is not of selection {self.id}; run `winnow select` again")
        return document

    def check(self) -> None:
        """Compares its files, but the decisions, with the digests that it records; each is read once.

        Raises:
          DamagedError: one was edited; all such files are named.
        """
        lines = [
            line
            for name, sha256 in self.digests.items()
            if filesystem.digest(self.uri(name))[1] != sha256
            for line in _edited(self.uri(name)).problems
        ]
        if lines:
            raise DamagedError(lines)

    @property
    def words(self) -> str:
        """What it is called in messages."""
        return f"selection {self.id}" if self.id else "the selection of Winnow 0.1"


def _json(uri: str) -> Document:
    return json_files.read(uri, _CURE)


def _object(data: bytes | None, uri: str) -> Document:
    return json_files.parse(data, uri, _CURE)


def _edited(uri: str) -> DamagedError:
    return DamagedError(f"{uri} is not as it was written: its sha256 is another; run `winnow select` again")


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _pointer(root: str, name: str) -> str:
    return filesystem.join(root, FOLDER, f"{name}.json")


def _marker(root: str, selection: str) -> str:
    return filesystem.join(root, path_of(selection, MARKER))


def begin(root: str, selection: str, name: str) -> None:
    """Records that a selection is begun: from now on nobody takes what its name stood for without asking for its ID.

    Args:
      root: the output folder.
      selection: ID of the one that is begun; its files may be those of an earlier run.
      name: that is to stand for it.
    """
    uri = _pointer(root, name)
    versions.update(uri, lambda data: _bytes({"id": _object(data, uri).get("id", ""), "pending": selection}))
    filesystem.delete([_marker(root, selection)])


def close(subset: FileRow, books: Mapping[str, Any], files: Sequence[FileRow], root: str, name: str) -> FileRow:
    """Declares a selection whole, once all of its files are there, and lets its name stand for it.

    Called again, it finds its work done.

    Args:
      subset: the row of its ``subset.npy``.
      books: the content of its ``books.json``, closed.
      files: the rows of its other files, but the decisions.
      root: the output folder.
      name: that is to stand for it.

    Returns:
      the row of ``selection.json``.

    Raises:
      AccountsError: another selection of this name was begun meanwhile.
    """
    selection = books["selection"]
    rows = {row.path.rpartition("/")[2]: row for row in (subset, *files)}
    told = {"files": {n: row.size for n, row in rows.items()}, "digests": {n: row.sha256 for n, row in rows.items()}}
    counts = {count: books[count] for count in ("shards", "samples", "kept", "copies")}
    marker = sealed_json.sealed({"id": selection, **counts, **told})
    row = file_rows.write(root, path_of(selection, MARKER), _bytes(marker))
    uri = _pointer(root, name)

    def moved(data: bytes | None) -> bytes:
        known = _object(data, uri)
        if selection not in (known.get("pending"), known.get("id")) or known.get("pending", "") not in ("", selection):
            raise AccountsError(
                f"another selection was begun in {root} while selection {selection} was made; let one run end before "
                f"the next, or give each a --name"
            )
        return _bytes({"id": selection, "pending": ""})

    versions.update(uri, moved)
    if name == CURRENT:
        links.show(root, path_of(selection, ""), f"{FOLDER}/{CURRENT}", SHOWN)
    return row


def find(root: str, name: str = "") -> Selection:
    """Returns the selection that a name stands for, or that has an ID.

    Args:
      root: the output folder.
      name: of the selection, or its ID; empty for the current one.

    Raises:
      InputError: there is none, or it is not whole.
    """
    by_id = ID.fullmatch(name) is not None
    known = {"id": name} if by_id else _json(_pointer(root, name or CURRENT))
    if pending := known.get("pending"):
        raise InputError(_unfinished(root, name, pending, known["id"]))
    if not known and name in ("", CURRENT):
        return _of_older(root)
    marker = _json(_marker(root, known["id"])) if known else {}
    if not marker or marker.get("id") != known["id"]:
        raise InputError(f"--selection {name or CURRENT}: --output {root} has no such selection{_choice(root)}")
    if not sealed_json.is_as_written(marker):
        raise _edited(_marker(root, known["id"]))
    folder = filesystem.join(root, FOLDER, marker["id"]) + "/"
    for file, size in marker["files"].items():
        present = filesystem.stat(folder + file)
        if present is None or present.size != size:
            raise InputError(f"{folder}{file} is missing, cut or changed; run `winnow select` again")
    asked = "" if by_id else name or CURRENT
    return Selection(root, marker["id"], marker["copies"], marker["shards"], asked, marker.get("digests", {}))


def begun(root: str) -> bool:
    """Returns whether an output folder holds a selection without a name of its own, whole or not."""
    return bool(_json(_pointer(root, CURRENT)) or _json(filesystem.join(root, "books.json")))


def _unfinished(root: str, name: str, pending: str, before: str) -> str:
    """Returns the line about a selection that was begun and is not whole."""
    failure = _json(filesystem.join(root, path_of(pending, "books.json"))).get("failure")
    why = f" failed: {failure}; run it again with other flags" if failure else " did not finish; run it again"
    other = f", or give --selection {before} for the one before it" if before not in ("", pending) else ""
    named = f" --name {name}" if name not in ("", CURRENT) else ""
    return f"--output {root}: the last `winnow select{named}` (selection {pending}){why}{other}"


def _choice(root: str) -> str:
    """Returns the hint that lists the selections of an output folder."""
    made = [job.partition(" ")[2] or CURRENT for job in manifest.read(root).sections if job.split(" ")[0] == "select"]
    ids = [folder for folder in filesystem.folders(filesystem.join(root, FOLDER)) if ID.fullmatch(folder)]
    listed = ", ".join([*sorted(made), *ids])
    return f"; name one of {listed}" if listed else "; run `winnow select` first"


def _of_older(root: str) -> Selection:
    """Returns the selection of an output of Winnow 0.1."""
    books = _json(filesystem.join(root, "books.json"))
    if not books:
        raise InputError(f"--output {root} holds no selection; run `winnow select`, or `winnow curate`, to the end")
    if books.get("failure"):
        raise InputError(
            f"--output {root}: the last `winnow select` failed: {books['failure']}; run it again with other flags"
        )
    return Selection(root, "", books["copies"])


def stale(output: str, selection: str) -> str | None:
    """Returns the ID of the selection whose copies ``shards/`` holds, where that is another one; None otherwise."""
    section = manifest.read(output).sections.get("reshard")
    held = section.facts.get("selection", "") if section else selection
    return None if held == selection else held


def stale_line(held: str, selection: str) -> str:
    """Returns the line about shards that hold the copies of another selection than the one named."""
    other = f"selection {held}" if held else "an earlier selection"
    return (
        f"shards/ is stale: it holds the copies of {other}, not of {selection}; run `winnow reshard` to write it anew"
    )
