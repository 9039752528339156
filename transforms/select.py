"""Turn columns into decisions: one row of copies, step and margin per sample, and books that close."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms import storage
from transforms.books import MergeBooksFn, close_books
from transforms.lib import accounts, columns, plan, stamps, subsets, uids
from transforms.lib import recipe as recipes
from transforms.lib.errors import Reason
from transforms.rows import FeatureRef, FeatureRefs, FileRow
from transforms.store import BlockReader, Store

_EXHIBIT_SEED = 12  # of the thumbnails that the report draws


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """Everything selection needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      recipe: what decides.
      where: each column the recipe reads -> (column set, column).
      score: the column that the histogram and the thumbnails show; None shows none.
      max_reject_fraction: the largest share of rejected samples that is not a failure.
      files: ``label.parameter`` -> (address, sha256) of the files that the recipe's steps name.
    """

    root: str
    recipe: recipes.Recipe
    where: Mapping[str, tuple[str, str]]
    score: tuple[str, str] | None
    max_reject_fraction: float
    files: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def subsets(self) -> set[str]:
        """Labels of the steps that select by a subset file."""
        return {step.label for step in self.recipe.flat() if isinstance(step, subsets.Subset)}

    @property
    def reader(self) -> BlockReader:
        """The reader of the recipe's blocks."""
        return BlockReader(Store(self.root), self.where, {name: uri for name, (uri, _) in self.files.items()})


class Decided(NamedTuple):
    """What one shard's decisions leave behind.

    Attributes:
      books: of the shard.
      source: the shard as the resharder's plan sees it.
      uids: the kept uids, once per copy, as bytes of ``uids.SUBSET_DTYPE``.
      file: the decisions file.
    """

    books: accounts.Books
    source: plan.Source
    uids: bytes
    file: FileRow


@dataclasses.dataclass(frozen=True)
class _Decide:
    """Decides one shard, writes its decisions and keeps its books."""

    settings: SelectSettings

    def __call__(self, ref: FeatureRef, states: tuple[Any, ...]) -> Decided:
        settings = self.settings
        wanted = {
            "status": (columns.INDEX, "status"),
            "uid": (columns.INDEX, "uid"),
            **({"score": settings.score} if settings.score else {}),
        }
        arrays = Store(settings.root).arrays(ref.name, wanted)
        block = settings.reader.block(ref, settings.recipe.inputs())
        decisions = recipes.decide(settings.recipe.steps, block, states)
        stamp = stamps.stamp(recipe=settings.recipe.as_dict(), states=repr(states), inputs=self._inputs(ref))
        file = self._write(ref, decisions, stamp)
        books = self._books(ref, decisions, arrays)
        accounts.check_closed(books, f"shard {ref.name}")
        Metrics.counter("select", "in").inc(books.samples)
        Metrics.counter("select", "out").inc(books.kept)
        source = plan.Source(ref.name, ref.uri, stamp, plan.counts_of(decisions.copies))
        kept = np.repeat(arrays["uid"], decisions.copies, axis=0)
        return Decided(books, source, np.ascontiguousarray(kept).tobytes(), file)

    def _labels(self) -> NDArray[np.object_]:
        """Returns the names of step indices: those of the steps, then ``REJECTED`` and ``KEPT`` from the end."""
        return np.array([*(step.label for step in self.settings.recipe.steps), "rejected", ""], object)

    def _write(self, ref: FeatureRef, decisions: recipes.Decisions, stamp: str) -> FileRow:
        store = Store(self.settings.root)
        arrays = [
            store.read(columns.INDEX, ref.name, ["uid"])["uid"].combine_chunks(),
            pa.array(decisions.copies),
            pa.array(self._labels()[decisions.step], pa.string()),
            pa.array(decisions.margin),
        ]
        table = pa.Table.from_arrays(arrays, schema=columns.DECISIONS_SCHEMA)
        return store.write("decisions", ref.name, table, stamp, uri=ref.uri)

    def _inputs(self, ref: FeatureRef) -> dict[str, str]:
        """Returns name -> stamp or sha256 of all files that this shard's decisions depend on."""
        files = {name: digest for name, (_, digest) in self.settings.files.items()}
        sets = {columns.INDEX, *(owner for owner, _ in self.settings.where.values())}
        return files | {name: Store(self.settings.root).facts(name, ref.name)["stamp"] for name in sorted(sets)}

    def _books(self, ref: FeatureRef, decisions: recipes.Decisions, arrays: Mapping[str, Any]) -> accounts.Books:
        rejected = decisions.step == recipes.REJECTED
        reasons = arrays["status"][rejected]
        reasons = np.where(reasons == columns.OK, Reason.SCORE_NOT_FINITE.value, reasons)
        labels = [step.label for step in self.settings.recipe.steps]
        dropped = Counter(labels[number] for number in decisions.step[decisions.step >= 0])
        score = arrays.get("score", np.full(len(rejected), np.nan, np.float32)).astype(np.float32)
        kept = decisions.copies > 0
        return accounts.Books(
            shards=1,
            samples=len(rejected),
            kept=int(kept.sum()),
            copies=int(decisions.copies.sum()),
            dropped=dict(dropped),
            rejected=dict(Counter(reasons.tolist())),
            size_bytes=ref.size,
            histogram=accounts.histogram(score[~rejected]),
            histogram_kept=accounts.histogram(score[kept]),
            exhibits=self._exhibits(ref, decisions, score, uids.uniform(arrays["uid"], _EXHIBIT_SEED)),
        )

    def _exhibits(
        self,
        ref: FeatureRef,
        decisions: recipes.Decisions,
        score: NDArray[np.float32],
        draw: NDArray[np.float64],
    ) -> dict[str, tuple[accounts.Exhibit, ...]]:
        """Returns this shard's candidates for the report: drawn kept and dropped ones, and the closest calls."""
        kept, dropped = decisions.copies > 0, decisions.step >= 0
        closeness = np.abs(decisions.margin.astype(np.float64))
        chosen = {
            "kept": _first(np.where(kept, draw, np.inf)),
            "dropped": _first(np.where(dropped, draw, np.inf)),
            "borderline": _first(np.where(kept | dropped, closeness, np.inf)),
        }
        rows = sorted({row for found in chosen.values() for row, _ in found})
        names = ["uid", "offset", "length", "caption"]
        table = (
            Store(self.settings.root).read(columns.INDEX, ref.name, names).take(np.array(rows, np.int64)).to_pylist()
        )
        facts = dict(zip(rows, table, strict=True))
        labels = self._labels()

        def exhibit(row: int, rank: float) -> accounts.Exhibit:
            return accounts.Exhibit(
                rank=rank,
                shard=ref.name,
                uri=ref.uri,
                score=float(score[row]),
                margin=float(decisions.margin[row]),
                step=labels[decisions.step[row]],
                **facts[row],
            )

        return {kind: tuple(exhibit(row, rank) for row, rank in found) for kind, found in chosen.items()}


def _first(rank: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Returns (row, rank) of the smallest finite ranks, at most as many as are shown."""
    order = np.argsort(rank, kind="stable")[: accounts.SHOWN]
    return [(int(row), float(rank[row])) for row in order if np.isfinite(rank[row])]


def write_subset(parts: Iterable[bytes], settings: SelectSettings) -> list[FileRow]:
    """Writes ``subset.npy``, DataComp's list of kept uids: dtype ``u8,u8``, sorted, one entry per copy.

    Under a recipe with subset files it also writes ``missing.npy``: the uids they list that were not kept.
    """
    pairs: NDArray[np.uint64] = np.frombuffer(b"".join(parts), np.uint64).reshape(-1, 2)
    kept = uids.subset(pairs)
    files = [_write_uids(kept, "subset.npy", settings.root)]
    listed = [uri for name, (uri, _) in sorted(settings.files.items()) if name.rpartition(".")[0] in settings.subsets]
    if listed:
        lacking = [subsets.missing(subsets.open_subset(storage.fetch(uri)), kept) for uri in listed]
        files.append(_write_uids(np.unique(np.concatenate(lacking)), "missing.npy", settings.root))
    return files


def _write_uids(rows: NDArray[np.void], name: str, root: str) -> FileRow:
    sink = io.BytesIO()
    uids.write_subset(sink, rows)
    data = sink.getvalue()
    storage.write_atomic(storage.join(root, name), data)
    return FileRow(name, len(data), stamps.sha256(data))


class Selection(NamedTuple):
    """What ``WriteDecisions`` gives to what follows.

    Attributes:
      sources: one ``plan.Source`` per shard.
      books: one ``accounts.Books`` of the pool, checked.
      summary: one mapping, the content of ``books.json``.
      files: the decisions, ``books.json`` and ``subset.npy``.
      subset: the row of ``subset.npy`` alone, one element.
    """

    sources: beam.PCollection[plan.Source]
    books: beam.PCollection[accounts.Books]
    summary: beam.PCollection[dict[str, Any]]
    files: beam.PCollection[FileRow]
    subset: beam.PCollection[FileRow]


@dataclasses.dataclass(eq=False)
class WriteDecisions(beam.PTransform):
    """Decides every sample: ``FeatureRef`` rows in, a ``Selection`` out.

    Cost: reads the recipe's columns once more; shuffles 16 bytes per kept copy and a few KiB a shard.

    Attributes:
      settings: recipe, columns and where to write.
      states: singleton, the solved states of all steps.
    """

    settings: SelectSettings
    states: beam.PCollection[tuple[Any, ...]]

    def _bounds(self) -> tuple[str, recipes.Recipe, float]:
        return self.settings.root, self.settings.recipe, self.settings.max_reject_fraction

    def expand(self, refs: FeatureRefs) -> Selection:
        states = AsSingleton(self.states)
        decided = refs | "Decide" >> beam.Map(_Decide(self.settings), states)
        closed = (
            decided
            | "Books" >> beam.Map(lambda row: row.books)
            | "AddBooks" >> beam.CombineGlobally(MergeBooksFn())
            | "CloseBooks" >> beam.Map(close_books, states, *self._bounds())
        )
        subset = (
            decided
            | "Uids" >> beam.Map(lambda row: row.uids)
            | "AllUids" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "WriteSubset" >> beam.FlatMap(write_subset, self.settings)
        )
        decisions = decided | "Decisions" >> beam.Map(lambda row: row.file)
        books_file = closed | "BooksFile" >> beam.Map(lambda row: row.file)
        return Selection(
            decided | "Sources" >> beam.Map(lambda row: row.source),
            closed | "PoolBooks" >> beam.Map(lambda row: row.books),
            closed | "Summary" >> beam.Map(lambda row: row.summary),
            (decisions, books_file, subset) | "AllFiles" >> beam.Flatten(),
            subset | "SubsetFile" >> beam.Filter(lambda row: row.path == "subset.npy"),
        )
