"""Records of what was taken down: why, when, how much; and salted digests that keep it from coming back.

takedowns/ID.json            the record; ``state`` is ``begun`` until all of it is done
takedowns/ID.npy             salted digests of what went, which ``standing_list`` explains; a standing block list
takedowns/ID.work.json       while it is at work: what is still to do
takedowns/ID.rows.parquet    the same: shard and row of each sample that goes

Whoever writes an index in this output, or in a later crawl beside it, looks at the digests and leaves such samples out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.lib import uids
from transforms.lib.arrays import Bool
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.blank import blanked
from transforms.lib.errors import InputError
from transforms.lib.subsets import standing_list, subset_files
from transforms.outputs import crawls, file_rows, json_files, sealed_json
from transforms.outputs.json_files import Document
from transforms.rows import FileRow
from transforms.storage import clients, filesystem
from transforms.storage.read_only import ReadOnlyStore

FOLDER = "takedowns"
BEGUN, DONE = "begun", "done"
_CURE = "it was cut or changed: put it back"


class StandingFile(NamedTuple):
    """A standing block list: address of its digests, and their salt."""

    uri: str
    salt: str


def path_of(takedown: str, ending: str = ".json") -> str:
    """Returns the path, below the output folder, of a file of a takedown."""
    return f"{FOLDER}/{takedown}{ending}"


def records(root: str) -> list[Document]:
    """Returns the records of an output folder, in the order of their dates.

    Raises:
      InputError: one was cut or edited.
    """
    found = []
    folder = filesystem.join(root, FOLDER)
    for info in filesystem.children(folder):
        if info.uri.endswith(".json") and not info.uri.endswith(".work.json"):
            record = json_files.read(info.uri, _CURE)
            if not sealed_json.is_as_written(record) or not {"id", "state", "salt", "date"} <= set(record):
                raise InputError(f"{info.uri} is not as it was written; {_CURE}")
            found.append(record)
    return sorted(found, key=lambda record: (record["date"], record["id"]))


def unfinished(root: str) -> Document | None:
    """Returns the record of the takedown that was begun in an output folder and is not done; None for none."""
    return next((record for record in records(root) if record["state"] == BEGUN), None)


def check_finished(root: str) -> None:
    """Checks that no takedown is half done in an output folder.

    Raises:
      InputError: one is.
    """
    if record := unfinished(root):
        raise InputError(
            f"--output {root}: the takedown of {record['date']} is not finished; run `winnow takedown {root} --resume`"
        )


def finished(root: str) -> list[str]:
    """Returns the IDs of all takedowns of an output folder, sorted."""
    return sorted(record["id"] for record in records(root))


def standing(root: str) -> tuple[StandingFile, ...]:
    """Returns the standing block lists of an output folder; of a crawl, also those of all crawls beside it."""
    if isinstance(clients.client_of(root), ReadOnlyStore):  # where nothing is written, nothing was taken down
        return ()
    roots = [root]
    place, crawl = crawls.split(root)
    if root.rstrip("/") == crawls.folder(place, crawl):
        beside = filesystem.folders(filesystem.join(place, "crawls"))
        roots = [*(crawls.folder(place, one) for one in beside if one != crawl), root]
    return tuple(
        StandingFile(filesystem.join(one, path_of(record["id"], ".npy")), record["salt"])
        for one in roots
        for record in records(one)
    )


def of_uids(root: str, wanted: Iterable[str]) -> dict[str, str]:
    """Returns uid -> date and record of the takedown that listed it, of those of some uids that were listed."""
    found = {}
    for record in records(root):
        digests = subset_files.open_subset(filesystem.fetch(filesystem.join(root, path_of(record["id"], ".npy"))))
        for uid in wanted:
            pair = uids.pairs([standing_list.digest_of(record["salt"], "uid", uid)])
            if subset_files.places(digests, pair)[0] >= 0:
                found[uid] = f"{record['date'][:10]} ({path_of(record['id'])})"
    return found


def named(lists: Sequence[StandingFile], index: pa.Table) -> Bool:
    """Returns bool ``[n]``: which samples of an index were taken down; it needs the columns uid and image_sha256."""
    found = np.zeros(len(index), np.bool_)
    for one in lists:
        digests = subset_files.open_subset(filesystem.fetch(one.uri))
        found |= standing_list.named(digests, one.salt, index)
    return found


def without(lists: Sequence[StandingFile], tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Returns column sets of one shard, row-aligned, in which samples that were taken down have blank rows.

    Args:
      lists: standing block lists.
      tables: column set -> table; the index is one of them.
    """
    rows = named(lists, tables[columns.INDEX]) if lists else np.zeros(0, np.bool_)
    return {name: blanked(table, rows) if rows.any() else table for name, table in tables.items()}


def write(root: str, record: Mapping[str, Any]) -> FileRow:
    """Writes a record."""
    return file_rows.write(root, path_of(record["id"]), bytes_of(record))


def bytes_of(record: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a record."""
    return json.dumps(sealed_json.sealed(record), indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
