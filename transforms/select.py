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
from transforms.workers import fitted, repeated_uids
from transforms.workers.decide_shard import Decided, DecideShard, SelectSettings, SolvedStates


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


def coverage_of(books: accounts.Books, subset: FileRow, settings: SelectSettings) -> dict[str, accounts.Coverage]:
    """Returns label -> how many different uids a step's subset file lists, and how many of them are in the pool.

    Where the file alone decides, those found are the different uids that were kept. Otherwise the samples are counted
    that it lists, which is more where uids are repeated.
    """
    others = {step.label for step in settings.recipe.steps} - {repeated_uids.FIRST_UIDS}
    alone = others == settings.subsets and len(others) == 1
    found = {}
    for label in sorted(settings.subsets):
        uri, _ = settings.files[f"{label}.file"]
        listed = repeated_uids.count_different(filesystem.fetch(uri))
        kept = filesystem.join(settings.root, subset.path)
        samples = repeated_uids.count_different(kept) if alone else books.listed.get(label, 0)
        found[label] = accounts.Coverage(listed, min(listed, samples))
    return found


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

    def _bounds(self) -> tuple[str, str, recipes.Recipe, accounts.Limits]:
        settings = self.settings
        return settings.root, settings.selection, settings.recipe, settings.limits

    def _listed(self) -> list[str]:
        """Returns the addresses of the recipe's subset files."""
        files = sorted(self.settings.files.items())
        return [uri for name, (uri, _) in files if name.rpartition(".")[0] in self.settings.subsets]

    def _repeated(
        self,
        decided: beam.PCollection[Decided],
        books: beam.PCollection[accounts.Books],
        subset: beam.PCollection[FileRow],
    ) -> beam.PCollection[accounts.Repeated]:
        """Counts kept samples that share their uid; shards are looked at again only where some do."""
        settings = self.settings
        count = repeated_uids.CountRepeated(settings.store, settings.path(selections.SUBSET))
        kept = books | "Different" >> beam.Map(repeated_uids.kept_of, AsSingleton(subset), settings.root)
        return (
            decided
            | "Decided" >> beam.Map(lambda row: row.source)
            | "CountRepeated" >> beam.Map(count, AsSingleton(kept))
            | "AddRepeated" >> beam.CombineGlobally(repeated_uids.AddCounts())
            | "Repeated" >> beam.Map(repeated_uids.repeated, AsSingleton(kept))
        )

    def expand(self, refs: ShardRefs) -> Selection:
        states = AsSingleton(self.states)
        recorded = AsSingleton(self.states | "Record" >> beam.Map(SolvedStates.of))
        decided = refs | "Decide" >> beam.Map(DecideShard(self.settings), recorded)
        added = (
            decided | "Books" >> beam.Map(lambda row: row.books) | "AddBooks" >> beam.CombineGlobally(MergeBooksFn())
        )
        kept = decided | "Uids" >> beam.Map(lambda row: row.uids)
        name, runs = self.settings.path(selections.SUBSET), self.settings.path(RUNS)
        subset = kept | "Subset" >> SortUids(self.settings.root, name, self.shards, folder=runs)
        repeated = self._repeated(decided, added, subset)
        covered = added | "Cover" >> beam.Map(coverage_of, AsSingleton(subset), self.settings)
        found = AsSingleton(repeated), AsSingleton(covered)
        closed = added | "CloseBooks" >> beam.Map(close_books, states, *found, *self._bounds())
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
