"""Turn decisions into output shards: byte ranges in, members spliced verbatim, one put per shard."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib import work_lines
from transforms.lib.errors import AccountsError, InputError
from transforms.lib.recipes import accounts
from transforms.lib.reshard import held, shard_formats, shard_layout
from transforms.outputs import file_rows, ledger, manifest, selections, side_files
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.write_shard import ReshardSettings, WriteShard, WrittenShard

_LOG = logging.getLogger(__name__)


def read_source(ref: ShardRef, store: Store) -> shard_layout.DecidedShard:
    """Returns a shard as the plan sees it, from its decisions."""
    with store.held() as opened:
        copies = opened.read(DECISIONS, ref.name, ["copies"])["copies"].to_numpy()
        stamp = opened.facts(DECISIONS, ref.name)["stamp"]
    return shard_layout.DecidedShard(ref.name, ref.uri, stamp, shard_layout.counts_of(copies))


def cut(output: shard_layout.OutputShard, settings: ReshardSettings) -> list[shard_layout.OutputShard]:
    """Cuts an output shard into parts that keep to ``max_shard_bytes``; they keep its number.

    Raises:
      AccountsError: one sample alone has more bytes.
    """
    if not settings.max_shard_bytes:
        return [output]
    listing = settings.contents.listing(output)
    largest = int(np.argmax(listing.length))
    if listing.length[largest] > settings.max_shard_bytes:
        raise AccountsError(
            f"sample {listing.keys[largest]} has {listing.length[largest]} bytes, more than --max_shard_bytes "
            f"{settings.max_shard_bytes}; give at least that, or leave such samples out by --max_sample_bytes"
        )
    ends = shard_layout.cut_by_bytes(listing.length, settings.max_shard_bytes)
    return [output._replace(start=start, stop=stop) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]


def renumber(parts: Iterable[shard_layout.OutputShard]) -> list[shard_layout.OutputShard]:
    """Gives all parts dense numbers, in the order of the shards they were cut from."""
    ordered = sorted(parts, key=lambda part: (part.number, part.start))
    _LOG.info("%s", work_lines.planned("write", len(ordered)))
    return [part._replace(number=number) for number, part in enumerate(ordered)]


def plan_outputs(
    sources: Sequence[shard_layout.DecidedShard], books: accounts.Books, settings: ReshardSettings
) -> list[shard_layout.OutputShard]:
    """Returns the plan of all output shards; ``books`` are taken so that nothing is written before they close.

    Raises:
      AccountsError: the decisions hold more or fewer copies than the books.
    """
    planned = list(settings.outputs(sources))
    accounts.check_written(books, sum(output.num_samples for output in planned))
    _LOG.info("%s", work_lines.planned("write", len(planned)))
    return planned


def finish(
    written: Sequence[WrittenShard],
    sources: Sequence[shard_layout.DecidedShard],
    subset: FileRow | None,
    settings: ReshardSettings,
) -> list[FileRow]:
    """Checks that all copies are written, writes what loaders look for and removes older shards.

    Beside tars: a dataset card; ``sizes.json``, ``meta.json`` and ``sample_ids.npy`` (a copy of the subset file), which
    DataComp's resharder writes and its and open_clip's loaders read. No other form has a file beside its shards.

    Raises:
      AccountsError: the output holds more or fewer copies than were decided.
    """
    ordered = sorted(written)
    total = sum(row.samples for row in ordered)
    accounts.check_written(accounts.Books(copies=sum(sum(source.counts) for source in sources)), total)
    _remove_others(settings, len(ordered))
    sizes = {row.file.path.rpartition("/")[2]: row.samples for row in ordered}
    rows = [file for row in ordered for file in (row.file, row.ledger, row.stats)]
    holds = held.Held.of(row.counts for row in ordered)
    rows.append(side_files.write_summary(settings.root, settings.format, sizes, holds))
    rows += side_files.write_cards(settings.root, settings.format, settings.suffix, sizes, holds)
    if settings.format != side_files.TARS:
        return rows
    rows += side_files.write_for_loaders(settings.root, settings.suffix, sizes, sum(row.blurred for row in ordered))
    return [*rows, _copy_subset(subset, settings)]


def _copy_subset(subset: FileRow | None, settings: ReshardSettings) -> FileRow:
    path = "shards/sample_ids.npy"
    source = filesystem.join(settings.root, selections.path_of(settings.selection, selections.SUBSET))
    target = filesystem.join(settings.root, path)
    with filesystem.open_read(source) as file, filesystem.create_atomic(target) as copy:
        while piece := file.read(1 << 24):
            copy.write(piece)
    if subset is not None and subset.sha256 != copy.sha256:
        raise AccountsError("subset.npy changed while the shards were written")
    return file_rows.of_new(path, copy)


def _remove_others(settings: ReshardSettings, count: int) -> None:
    """Deletes all else beside the shards: those of an earlier output, larger or of another form, and its side files.

    A loader that globs, or that reads the whole folder, must see these shards only.
    """
    paths = (settings.path, settings.stats_path, ledger.path_of)
    kept = {path_of(number) for number in range(count) for path_of in paths}
    suffixes = tuple(shard_formats.format_of(name).suffix for name in shard_formats.NAMES)
    removed = []
    for folder, ours in (
        ("shards", (*suffixes, *side_files.BESIDE)),
        (side_files.STATS, (".json",)),
        (ledger.FOLDER, (".parquet",)),
    ):
        uri = filesystem.join(settings.root, folder)
        names = [info.uri.removeprefix(f"{uri}/") for info in filesystem.children(uri)]
        stale = [name for name in names if name.endswith(ours) and "/" not in name and f"{folder}/{name}" not in kept]
        removed += [filesystem.join(uri, name) for name in stale]
    filesystem.delete(removed)


class Resharded(NamedTuple):
    """What ``ReshardCopies`` gives to what follows: the written shards, and all files once they are complete."""

    written: beam.PCollection[WrittenShard]
    files: beam.PCollection[FileRow]


@dataclasses.dataclass(eq=False)
class ReadSources(beam.PTransform):
    """Reads the decisions of earlier runs: ``ShardRef`` rows in, one ``DecidedShard`` per shard out.

    Attributes:
      store: the decisions of the selection.
    """

    store: Store

    def expand(self, refs: ShardRefs) -> beam.PCollection[shard_layout.DecidedShard]:
        return refs | "Read" >> beam.Map(read_source, self.store)


@dataclasses.dataclass(eq=False)
class ReshardCopies(beam.PTransform):
    """Writes all copies into equal output shards: one ``DecidedShard`` per input shard in, a ``Resharded`` out.

    Cost: the plan is shuffled, about 100 bytes for each pair of input and output shard that share samples; each
    output shard reads its byte ranges of the inputs into a temporary file and writes another, so disk is bounded by
    the size of two output shards a thread, and memory by a few pieces of 4 MiB.

    Attributes:
      settings: where, how large, in which order and form.
      books: singleton of the pool's closed books; or those of a selection that is whole.
      subset: singleton of the row of ``subset.npy``, or None when it lies there already.
    """

    settings: ReshardSettings
    books: beam.PCollection[accounts.Books] | accounts.Books
    subset: beam.PCollection[FileRow] | None = None

    def expand(self, sources: beam.PCollection[shard_layout.DecidedShard]) -> Resharded:
        books = self.books if isinstance(self.books, accounts.Books) else AsSingleton(self.books)
        subset = None if self.subset is None else AsSingleton(self.subset)
        to_list = beam.combiners.ToListCombineFn
        everything = sources | "AllSources" >> beam.CombineGlobally(to_list())
        outputs = everything | "Plan" >> beam.FlatMap(plan_outputs, books, self.settings)
        if self.settings.max_shard_bytes:
            outputs = (
                outputs
                | "SpreadCuts" >> beam.Reshuffle()
                | "Cut" >> beam.FlatMap(cut, self.settings)
                | "AllCuts" >> beam.CombineGlobally(to_list())
                | "Renumber" >> beam.FlatMap(renumber)
            )
        written = outputs | "Spread" >> beam.Reshuffle() | "Write" >> beam.Map(WriteShard(self.settings))
        files = (
            written
            | "AllWritten" >> beam.CombineGlobally(to_list())
            | "Finish" >> beam.FlatMap(finish, AsSingleton(everything), subset, self.settings)
        )
        return Resharded(written, files)


def _source(ref: ShardRef, store: Store) -> shard_layout.DecidedShard | None:
    """Returns a shard as the plan sees it; None where its decisions cannot be read: its own check says so."""
    try:
        return read_source(ref, store)
    except InputError:
        return None


def plan_again(
    sources: Sequence[shard_layout.DecidedShard | None], settings: ReshardSettings
) -> list[tuple[str, shard_layout.OutputShard]]:
    """Plans the output shards from the decisions: their paths, and the samples that each must hold.

    Where samples were taken down since, the plan is no more. Then each shard must hold what its ledger says, of which
    nothing is given here. Where decisions are damaged there is no plan.
    """
    if manifest.read(settings.root).section("reshard").facts.get("taken_down"):
        numbers = ledger.numbers(settings.root)
        return [(settings.path(number), shard_layout.OutputShard(number, (), 0, 0)) for number in numbers]
    whole = [source for source in sources if source is not None]
    if len(whole) < len(sources):
        return []
    outputs = renumber(part for output in settings.outputs(whole) for part in cut(output, settings))
    return [(settings.path(output.number), output) for output in outputs]


@dataclasses.dataclass(eq=False)
class PlanAgain(beam.PTransform):
    """Plans the output shards anew: ``ShardRef`` rows in, path and plan of each output shard out.

    Attributes:
      settings: by which they were written.
    """

    settings: ReshardSettings

    def expand(self, refs: ShardRefs) -> beam.PCollection[tuple[str, shard_layout.OutputShard]]:
        return (
            refs
            | "ReadSources" >> beam.Map(_source, self.settings.store)
            | "AllSources" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "PlanAgain" >> beam.FlatMap(plan_again, self.settings)
            | "Spread" >> beam.Reshuffle()
        )
