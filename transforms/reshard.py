"""Turn decisions into output shards: byte ranges in, members spliced verbatim, one put per shard."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton

from transforms import storage
from transforms.lib import accounts, columns, plan, stamps, uids
from transforms.lib.ranges import read_ranges
from transforms.lib.tarstream import open_tar
from transforms.lib.tarwrite import END_OF_ARCHIVE, splice
from transforms.rows import FeatureRef, FeatureRefs, FileRow
from transforms.store import Store

RESHARD_VERSION = 1  # raise when the same plan would give other bytes


@dataclasses.dataclass(frozen=True)
class ReshardSettings:
    """Everything the resharder needs to know; workers get it as a field.

    Attributes:
      root: the output folder; shards go into ``shards/`` below it.
      samples_per_shard: copies in each output shard but the last.
      seed: of the order of shards and of the samples inside one.
    """

    root: str
    samples_per_shard: int = 10_000
    seed: int = 0

    def path(self, number: int, suffix: str = ".tar") -> str:
        """Returns the path of an output shard or of its statistics, below the root."""
        return f"shards/{number:08d}{suffix}"


class WrittenShard(NamedTuple):
    """An output shard that is in place, and the file of its statistics."""

    number: int
    samples: int
    tar: FileRow
    stats: FileRow


def read_source(ref: FeatureRef, root: str) -> plan.Source:
    """Returns a shard as the plan sees it, from its decisions."""
    store = Store(root)
    copies = store.read("decisions", ref.name, ["copies"])["copies"].to_numpy()
    stamp = store.facts("decisions", ref.name)["stamp"]
    return plan.Source(ref.name, ref.uri, stamp, plan.counts_of(copies))


@dataclasses.dataclass(frozen=True)
class WriteShard:
    """Writes one output shard; called again, it finds its work done.

    Attributes:
      settings: where and in which order.
    """

    settings: ReshardSettings

    def __call__(self, output: plan.OutputShard) -> WrittenShard:
        settings = self.settings
        stamp = stamps.stamp(segments=output.segments, seed=settings.seed, version=RESHARD_VERSION)
        done = self._done(output.number, stamp)
        if done is not None:
            Metrics.counter("reshard", "shards_skipped").inc()
            return done
        data = memoryview(self._content(output))
        path, stats_path = settings.path(output.number), settings.path(output.number, "_stats.json")
        tar = FileRow(path, len(data), stamps.sha256(data))
        stats = {"successes": output.num_samples, "bytes": tar.size, "sha256": tar.sha256, "stamp": stamp}
        text = stamps.canonical(stats).encode()
        storage.write_atomic(storage.join(settings.root, path), data)
        storage.write_atomic(storage.join(settings.root, stats_path), text)  # last: it says the tar is finished
        Metrics.counter("reshard", "out").inc(output.num_samples)
        Metrics.counter("reshard", "out_bytes").inc(len(data))
        return WrittenShard(output.number, output.num_samples, tar, FileRow(stats_path, len(text), stamps.sha256(text)))

    def _done(self, number: int, stamp: str) -> WrittenShard | None:
        path, stats_path = self.settings.path(number), self.settings.path(number, "_stats.json")
        text = storage.read_if_exists(storage.join(self.settings.root, stats_path))
        if text is None:
            return None
        stats = json.loads(text)
        found = storage.match([storage.join(self.settings.root, path)])[0]
        if stats.get("stamp") != stamp or [info.size for info in found] != [stats["bytes"]]:
            return None
        tar = FileRow(path, stats["bytes"], stats["sha256"])
        return WrittenShard(number, stats["successes"], tar, FileRow(stats_path, len(text), stamps.sha256(text)))

    def _content(self, output: plan.OutputShard) -> bytearray:
        """Returns the tar, its samples in the order of a hash of (seed, uid) and then of the copy."""
        samples = [sample for segment in output.segments for sample in self._samples(segment)]
        samples.sort(key=lambda sample: sample[0])
        tar = bytearray()
        taken: set[str] = set()
        for (_, uid, copy), block in samples:
            while (key := f"{uid}-{copy}") in taken:  # only where two samples of the pool bear one uid
                copy += 1
            taken.add(key)
            tar += splice(block, key)
        return tar + END_OF_ARCHIVE

    def _samples(self, segment: plan.Segment) -> list[tuple[tuple[int, str, int], bytes]]:
        """Returns ((hash, uid, copy), bytes of the sample in its input shard) of each row of a segment."""
        store = Store(self.settings.root)
        copies = store.read("decisions", segment.name, ["copies"])["copies"].to_numpy()
        rows = np.flatnonzero(copies > segment.copy)[segment.start : segment.stop]
        index = store.read(columns.INDEX, segment.name, ["uid", "offset", "length"]).take(rows).to_pydict()
        order = uids.keyed_hash(uids.pairs(index["uid"]), self.settings.seed)
        with storage.open_read(segment.uri) as file:
            blocks = read_ranges(open_tar(file, segment.uri), index["offset"], index["length"])
        keys = [(int(hashed), uid, segment.copy) for hashed, uid in zip(order, index["uid"], strict=True)]
        return list(zip(keys, blocks, strict=True))


def plan_outputs(
    sources: Sequence[plan.Source], books: accounts.Books | None, settings: ReshardSettings
) -> list[plan.OutputShard]:
    """Returns the plan of all output shards; ``books`` are taken so that nothing is written before they close."""
    planned = list(plan.output_shards(sources, settings.samples_per_shard, settings.seed))
    if books is not None:
        accounts.check_written(books, sum(output.num_samples for output in planned))
    return planned


def finish(written: Sequence[WrittenShard], sources: Sequence[plan.Source], settings: ReshardSettings) -> list[FileRow]:
    """Checks that all copies are written, then writes ``sizes.json`` and ``meta.json`` and removes older shards.

    ``sizes.json`` (shard name -> samples) and ``meta.json`` are what DataComp's and open_clip's loaders read.

    Raises:
      AccountsError: the output holds more or fewer copies than were decided.
    """
    ordered = sorted(written)
    total = sum(row.samples for row in ordered)
    accounts.check_written(accounts.Books(copies=sum(sum(source.counts) for source in sources)), total)
    _remove_others(settings, len(ordered))
    sizes = {row.tar.path.rpartition("/")[2]: row.samples for row in ordered}
    meta: dict[str, Any] = {
        "output_shard_count": len(ordered),
        "output_shard_format": "{:08d}.tar",
        "output_count": total,
    }
    files = [file for row in ordered for file in (row.tar, row.stats)]
    for name, document in (("sizes.json", sizes), ("meta.json", meta)):
        data = stamps.canonical(document).encode()
        storage.write_atomic(storage.join(settings.root, "shards", name), data)
        files.append(FileRow(f"shards/{name}", len(data), stamps.sha256(data)))
    return files


def _remove_others(settings: ReshardSettings, count: int) -> None:
    """Deletes shards of an earlier, larger output: a loader that globs the folder must see this one only."""
    folder = storage.join(settings.root, "shards")
    planned = {storage.join(settings.root, settings.path(n, s)) for n in range(count) for s in (".tar", "_stats.json")}
    found = [info.uri for pattern in ("*.tar", "*_stats.json") for info in storage.match([f"{folder}/{pattern}"])[0]]
    storage.delete([uri for uri in found if uri not in planned])


class Reshard(NamedTuple):
    """What ``ReshardCopies`` gives to what follows: the written shards, and all files once they are complete."""

    written: beam.PCollection[WrittenShard]
    files: beam.PCollection[FileRow]


@dataclasses.dataclass(eq=False)
class ReadSources(beam.PTransform):
    """Reads the decisions of earlier runs: ``FeatureRef`` rows in, one ``plan.Source`` per shard out.

    Attributes:
      root: the output folder.
    """

    root: str

    def expand(self, refs: FeatureRefs) -> beam.PCollection[plan.Source]:
        return refs | "Read" >> beam.Map(read_source, self.root)


@dataclasses.dataclass(eq=False)
class ReshardCopies(beam.PTransform):
    """Writes all copies into equal output shards: one ``plan.Source`` per input shard in, a ``Reshard`` out.

    Cost: the plan is shuffled, about 100 bytes per input shard; each output shard reads its byte ranges of the
    inputs and holds its own content once, so memory is bounded by the size of one output shard a thread.

    Attributes:
      settings: where, how large, in which order.
      books: singleton of the pool's closed books, or None to trust the decisions alone.
    """

    settings: ReshardSettings
    books: beam.PCollection[accounts.Books] | None = None

    def expand(self, sources: beam.PCollection[plan.Source]) -> Reshard:
        books = None if self.books is None else AsSingleton(self.books)
        everything = sources | "AllSources" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        written = (
            everything
            | "Plan" >> beam.FlatMap(plan_outputs, books, self.settings)
            | "Spread" >> beam.Reshuffle()
            | "Write" >> beam.Map(WriteShard(self.settings))
        )
        files = (
            written
            | "AllWritten" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Finish" >> beam.FlatMap(finish, AsSingleton(everything), self.settings)
        )
        return Reshard(written, files)
