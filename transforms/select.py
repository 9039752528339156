"""Turn columns into decisions: one row of copies, step and margin per sample, and books that close."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms import fitted, storage
from transforms.books import MergeBooksFn, close_books
from transforms.decideshard import DecideShard, SelectSettings
from transforms.lib import accounts, plan, stamps, subsets, uids
from transforms.lib import recipe as recipes
from transforms.rows import FeatureRefs, FileRow


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
      files: the decisions, ``books.json``, ``fitted.json`` and ``subset.npy``.
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
        decided = refs | "Decide" >> beam.Map(DecideShard(self.settings), states)
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
        solved = self.states | "WriteFitted" >> beam.Map(fitted.write, self.settings)
        decisions = decided | "Decisions" >> beam.Map(lambda row: row.file)
        books_file = closed | "BooksFile" >> beam.Map(lambda row: row.file)
        return Selection(
            decided | "Sources" >> beam.Map(lambda row: row.source),
            closed | "PoolBooks" >> beam.Map(lambda row: row.books),
            closed | "Summary" >> beam.Map(lambda row: row.summary),
            (decisions, books_file, solved, subset) | "AllFiles" >> beam.Flatten(),
            subset | "SubsetFile" >> beam.Filter(lambda row: row.path == "subset.npy"),
        )
