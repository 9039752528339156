"""Turn columns into decisions: one row of copies, step and margin per sample, and books that close."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib import uids
from transforms.lib.recipes import accounts
from transforms.lib.recipes import recipe as recipes
from transforms.lib.reshard import shard_layout
from transforms.lib.subsets import subset_files
from transforms.outputs import file_rows, selections
from transforms.outputs.books import MergeBooksFn, close_books
from transforms.outputs.sort_uids import RUNS, SortUids
from transforms.rows import FileRow, ShardRefs
from transforms.storage import filesystem
from transforms.workers import fitted
from transforms.workers.decide_shard import DecideShard, SelectSettings, SolvedStates


def write_missing(subset: FileRow, settings: SelectSettings, listed: Sequence[str]) -> FileRow:
    """Writes ``missing.npy``: the uids that the recipe's subset files list and that were not kept."""
    kept = subset_files.open_subset(filesystem.fetch(filesystem.join(settings.root, subset.path)))
    lacking = [subset_files.missing(subset_files.open_subset(filesystem.fetch(uri)), kept) for uri in listed]
    path = settings.path("missing.npy")
    with filesystem.create_atomic(filesystem.join(settings.root, path)) as file:
        uids.write_subset(file, np.unique(np.concatenate(lacking)))
    return file_rows.of_new(path, file)


def close_selection(
    subset: FileRow, books: Mapping[str, Any], files: Sequence[FileRow], settings: SelectSettings
) -> FileRow:
    """Declares the selection whole; ``files`` are those that must be there before."""
    return selections.close(subset, books, files, settings.root, settings.name)


class Selection(NamedTuple):
    """What ``WriteDecisions`` gives to what follows.

    Attributes:
      sources: one ``DecidedShard`` per shard.
      books: one ``accounts.Books`` of the pool, checked.
      summary: one mapping, the content of ``books.json``.
      files: the decisions, ``books.json``, ``fitted.json``, ``missing.npy``, ``subset.npy``, ``selection.json``, each
        for itself: a runner in Java cannot plan a flattened collection that is flattened again.
      subset: the row of ``subset.npy`` alone, one element.
    """

    sources: beam.PCollection[shard_layout.DecidedShard]
    books: beam.PCollection[accounts.Books]
    summary: beam.PCollection[dict[str, Any]]
    files: tuple[beam.PCollection[FileRow], ...]
    subset: beam.PCollection[FileRow]


@dataclasses.dataclass(eq=False)
class WriteDecisions(beam.PTransform):
    """Decides every sample: ``ShardRef`` rows in, a ``Selection`` out.

    The selection is whole, and its name stands for it, once everything is written and the books closed.

    Cost: reads the recipe's columns once more and shuffles a few KiB per shard; ``subset.npy``, DataComp's list of kept
    uids (dtype ``u8,u8``, sorted, one entry per copy), is sorted through files, see ``SortUids``.

    Attributes:
      settings: recipe, columns and where to write.
      states: singleton, the solved states of all steps.
      shards: of the pool.
    """

    settings: SelectSettings
    states: beam.PCollection[tuple[Any, ...]]
    shards: int

    def _bounds(self) -> tuple[str, str, recipes.Recipe, float]:
        settings = self.settings
        return settings.root, settings.selection, settings.recipe, settings.max_reject_fraction

    def _listed(self) -> list[str]:
        """Returns the addresses of the recipe's subset files."""
        files = sorted(self.settings.files.items())
        return [uri for name, (uri, _) in files if name.rpartition(".")[0] in self.settings.subsets]

    def expand(self, refs: ShardRefs) -> Selection:
        states = AsSingleton(self.states)
        recorded = AsSingleton(self.states | "Record" >> beam.Map(SolvedStates.of))
        decided = refs | "Decide" >> beam.Map(DecideShard(self.settings), recorded)
        closed = (
            decided
            | "Books" >> beam.Map(lambda row: row.books)
            | "AddBooks" >> beam.CombineGlobally(MergeBooksFn())
            | "CloseBooks" >> beam.Map(close_books, states, *self._bounds())
        )
        kept = decided | "Uids" >> beam.Map(lambda row: row.uids)
        name, runs = self.settings.path(selections.SUBSET), self.settings.path(RUNS)
        subset = kept | "Subset" >> SortUids(self.settings.root, name, self.shards, folder=runs)
        solved = self.states | "WriteFitted" >> beam.Map(fitted.write, self.settings)
        decisions = decided | "Decisions" >> beam.Map(lambda row: row.file)
        files = [closed | "BooksFile" >> beam.Map(lambda row: row.file), solved]
        if listed := self._listed():
            files.append(subset | "WriteMissing" >> beam.Map(write_missing, self.settings, listed))
        summary = closed | "Summary" >> beam.Map(lambda row: row.summary)
        others = files | "Others" >> beam.Flatten() | "AllOthers" >> beam.combiners.ToList()
        whole = subset | "Whole" >> beam.Map(close_selection, AsSingleton(summary), AsSingleton(others), self.settings)
        return Selection(
            decided | "Sources" >> beam.Map(lambda row: row.source),
            closed | "PoolBooks" >> beam.Map(lambda row: row.books),
            summary,
            (decisions, *files, subset, whole),
            subset,
        )
