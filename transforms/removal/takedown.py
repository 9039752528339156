"""Take samples out of an output folder, step by step; a takedown that was killed goes on where it was.

Steps, in this order, because each needs what later ones change:

* ``lists``: subset files, lists of kept images and of changes, references of other samples; they need the uids.
* ``shards``: the output shards that hold copies, and what lies beside them.
* ``columns``: the rows of every column set are blanked, and decisions say that the samples were taken down.
* ``books``: counts, records of selections, reports and the manifest.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import stamps
from transforms.lib.arrays import Int64
from transforms.lib.columnstore import columns
from transforms.lib.errors import Reason
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import (
    all_selections,
    file_rows,
    json_files,
    ledger,
    manifest,
    selections,
    side_files,
    takedowns,
)
from transforms.outputs.json_files import Document
from transforms.outputs.selections import Selection
from transforms.outputs.store import Store
from transforms.removal import columns as column_rows
from transforms.removal import lists
from transforms.removal.beside import write_side_files
from transforms.removal.find import AT_ONCE
from transforms.removal.output_shards import CutShards
from transforms.storage import filesystem

STEPS = ("lists", "shards", "columns", "books")
_CURE = "it was cut or changed: put it back"
_SIDE = (side_files.SUMMARY, side_files.CARD, side_files.CROISSANT, *(f"shards/{n}" for n in side_files.BESIDE[:4]))


@dataclasses.dataclass(frozen=True)
class Takedown:
    """Samples on their way out of an output.

    Attributes:
      root: the output folder.
      record: as it will be when all is done, but for its state.
      rows: shard -> int64, rows of the samples that go.
      form: of the output shards; empty where there are none.
      outputs: numbers of the output shards that hold some of them.
      referring: column set -> shards with other samples that refer to some of these.
    """

    root: str
    record: Document
    rows: Mapping[str, Int64]
    form: str
    outputs: Sequence[int]
    referring: Mapping[str, list[str]]

    @property
    def _touched(self) -> list[str]:
        """The shards whose columns change."""
        return sorted({*self.rows, *(shard for shards in self.referring.values() for shard in shards)})

    def _path(self, ending: str) -> str:
        return filesystem.join(self.root, takedowns.path_of(self.record["id"], ending))

    def begin(self, digests: bytes) -> None:
        """Records what is to go; from now on every other job refuses to run here until it is gone.

        Args:
          digests: the standing block list, a file.
        """
        work: Document = {"step": STEPS[0], "form": self.form, "outputs": [*self.outputs], "selections": {}}
        work["referring"] = dict(self.referring)
        for selection in all_selections.whole(self.root):
            store = Store(self.root, selection.id)
            delta = column_rows.NOTHING
            for shard, rows in self.rows.items():
                delta = column_rows.add(delta, column_rows.delta_of(store, shard, rows))
            files = {name: _digest(selection.uri(name)) for name in ("books.json", selections.SUBSET)}
            work["selections"][selection.id] = {"delta": delta, **files}
        work["images"] = _digest(filesystem.join(self.root, lists.IMAGES))
        shards = np.repeat(sorted(self.rows), [len(self.rows[shard]) for shard in sorted(self.rows)])
        rows = np.concatenate([np.zeros(0, np.int64), *(self.rows[shard] for shard in sorted(self.rows))])
        table = pa.table({"shard": pa.array(shards.tolist(), pa.string()), "row": pa.array(rows, pa.int64())})
        filesystem.write_atomic(self._path(".npy"), digests)
        filesystem.write_atomic(self._path(".rows.parquet"), columns.to_parquet(table, ""))
        self._note(work)
        takedowns.write(self.root, {**self.record, "state": takedowns.BEGUN})

    def _note(self, work: Document) -> None:
        filesystem.write_atomic(self._path(".work.json"), stamps.canonical(work).encode())

    def run(self) -> None:
        """Does what is left to do."""
        work = json_files.read(self._path(".work.json"), _CURE)
        while work["step"] != "done":
            step = work["step"]
            getattr(self, f"_{step}")(work)
            work["step"] = (*STEPS, "done")[STEPS.index(step) + 1]
            self._note(work)
        takedowns.write(self.root, {**self.record, "state": takedowns.DONE})
        filesystem.delete([self._path(".work.json"), self._path(".rows.parquet")])

    def _selections(self, work: Document) -> list[Selection]:
        return [one for one in all_selections.whole(self.root) if one.id in work["selections"]]

    def _lists(self, work: Document) -> None:
        root = self.root
        filesystem.delete([*all_selections.unfinished(root), filesystem.join(root, "verify.json")])
        gone = lists.uids_of(Store(root), self.rows)
        for selection in self._selections(work):
            copies = lists.copies_of(Store(root, selection.id), self.rows)
            if _digest(selection.uri(selections.SUBSET)) == work["selections"][selection.id][selections.SUBSET]:
                lists.cut(selection.uri(selections.SUBSET), copies)
            lists.cut(selection.uri("missing.npy"), gone, every=True)
        current = filesystem.join(root, selections.SUBSET)
        if filesystem.exists(current):
            alone = lists.unshared(current, gone)
            for way in ("added", "removed", "unchanged"):
                lists.cut(filesystem.join(root, f"diff/{way}.npy"), alone, every=True)
        images = filesystem.join(root, lists.IMAGES)
        if work["images"] and _digest(images) == work["images"]:
            known = json_files.read(filesystem.join(root, selections.FOLDER, f"{selections.CURRENT}.json"), _CURE)
            lists.cut(images, lists.images_of(Store(root, known.get("id", "")), self.rows))
        texts = lists.texts_of(gone)
        lists.cut_matches(root, texts)
        for column_set, shards in self.referring.items():
            _each(lambda shard, name=column_set: self._refer(name, shard, texts), shards)

    def _refer(self, column_set: str, shard: str, texts: pa.Array) -> None:
        lists.refer(Store(self.root), column_set, shard, texts, self.record["salt"], write=True)

    def _shards(self, work: Document) -> None:
        if self.outputs:
            _each(CutShards(self.root, self.form, self.record["id"], dict(self.rows)), self.outputs)
            write_side_files(self.root, self.form)

    def _columns(self, work: Document) -> None:
        sets = filesystem.folders(filesystem.join(self.root, "columns"))
        chosen = self._selections(work)

        def change(shard: str) -> None:
            store = Store(self.root)
            rows = self.rows.get(shard, np.zeros(0, np.int64))
            if len(rows):
                column_rows.blank(store, shard, rows, [n for n in sets if filesystem.exists(store.uri(n, shard))])
            for selection in chosen:
                column_rows.decide(Store(self.root, selection.id), shard, rows, self.record["id"])

        _each(change, self._touched)

    def _books(self, work: Document) -> None:
        changed: dict[str, Document] = {}
        for selection in self._selections(work):
            known = work["selections"][selection.id]
            data = filesystem.read_bytes(selection.uri("books.json"))
            books = json.loads(data)
            if stamps.sha256(data) == known["books.json"]:
                books = without(books, known["delta"])
                text = json.dumps(books, indent=1, sort_keys=True).encode() + b"\n"
                filesystem.write_atomic(selection.uri("books.json"), text)
            all_selections.record_again(selection, books)
            changed[selection.id] = books
        self._pages(changed)
        self._manifest(changed)

    def _pages(self, books: Mapping[str, Document]) -> None:
        """Puts plain pages in the place of reports, which show samples, and counts that are no longer so."""
        root = self.root
        known = json_files.read(filesystem.join(root, selections.FOLDER, f"{selections.CURRENT}.json"), _CURE)
        for path in lists.reports(root):
            selection = path.split("/")[1] if "/" in path else known.get("id", "")
            if selection in books:
                filesystem.write_atomic(filesystem.join(root, path), lists.plain_report(books[selection]))

    def _manifest(self, books: Mapping[str, Document]) -> None:
        root = self.root
        known = manifest.read(root)
        listed = {row.path for row in known.files}
        paths = sorted(self._changed(books) & listed)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            rows = dict(zip(paths, threads.map(lambda path: file_rows.of_stored(root, path), paths), strict=True))
        facts: dict[str, Document] = {}
        for job, section in known.sections.items():
            if section.facts.get("selection") in books and job.split(" ")[0] == "select":
                facts[job] = {"counts": books[section.facts["selection"]]}
            if job == "reshard" and self.outputs:
                facts[job] = {"taken_down": sorted({*section.facts.get("taken_down", ()), self.record["id"]})}
        manifest.change(root, rows, facts)
        done = takedowns.bytes_of({**self.record, "state": takedowns.DONE})
        kept = [row for row in known.section("takedown").files if self.record["id"] not in row.path]
        own = [
            file_rows.of_bytes(takedowns.path_of(self.record["id"]), done),
            file_rows.of_stored(root, takedowns.path_of(self.record["id"], ".npy")),
        ]
        manifest.write([manifest.section([*kept, *own], None, "takedown", {})], root)

    def _changed(self, books: Iterable[str]) -> set[str]:
        """Returns the paths of all files that may have changed."""
        root = self.root
        found = {"report.html", lists.IMAGES, *_SIDE, *lists.reports(root)}
        found |= {f"diff/{way}.npy" for way in ("added", "removed", "unchanged")}
        found |= {
            info.uri.rsplit(f"{root.rstrip('/')}/", 1)[-1]
            for info in filesystem.children(filesystem.join(root, "dedup"))
        }
        for column_set in filesystem.folders(filesystem.join(root, "columns")):
            found |= {Store(root).path(column_set, shard) for shard in self._touched}
        for selection in books:
            names = ("books.json", selections.SUBSET, "missing.npy", selections.MARKER)
            found |= {selections.path_of(selection, name) for name in names}
            found |= {Store(root, selection).path("decisions", shard) for shard in self._touched}
        if self.outputs:
            cut = CutShards(root, self.form, self.record["id"], dict(self.rows))
            for number in self.outputs:
                found |= {cut.path(number), ledger.path_of(number), side_files.stats_path(number)}
        return found


def resumed(root: str, record: Document) -> Takedown:
    """Returns a takedown that was begun, as ``begin`` recorded it."""
    place = filesystem.join(root, takedowns.path_of(record["id"], ".work.json"))
    work = json_files.read(place, _CURE)
    data = filesystem.read_bytes(filesystem.join(root, takedowns.path_of(record["id"], ".rows.parquet")))
    table = ParquetReader(io.BytesIO(data)).read()
    rows = {
        shard: table.filter(pc.equal(table["shard"], shard))["row"].to_numpy()
        for shard in pc.unique(table["shard"]).to_pylist()
    }
    facts = {name: value for name, value in record.items() if name != "sha256"}
    return Takedown(root, facts, rows, work["form"], work["outputs"], work["referring"])


def without(books: Document, delta: column_rows.Delta) -> Document:
    """Returns books in which samples were taken down; they count as rejected for that reason."""
    dropped = {label: count - delta["dropped"].get(label, 0) for label, count in books["dropped"].items()}
    rejected = {reason: count - delta["rejected"].get(reason, 0) for reason, count in books["rejected"].items()}
    rejected = {reason: count for reason, count in rejected.items() if count}
    rejected[Reason.TAKEN_DOWN.value] = rejected.get(Reason.TAKEN_DOWN.value, 0) + delta["samples"]
    counts = {name: books[name] - delta[name] for name in ("kept", "copies")}
    return {
        **books,
        **counts,
        "dropped": {n: c for n, c in dropped.items() if c},
        "rejected": dict(sorted(rejected.items())),
    }


def _digest(uri: str) -> str:
    return filesystem.digest(uri)[1] if filesystem.exists(uri) else ""


def _each(work: Any, items: Iterable[Any]) -> None:
    """Calls some work for each item, several at once; the first error ends it."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(work, items):
            pass
