"""Deduplicate a pool: equal samples, near hashes or near embeddings meet, and each shard gets a column set back."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib import stamps
from transforms.lib.arrays import UInt64
from transforms.lib.columnstore import columns
from transforms.lib.dedup import components, contamination, groups, semdedup
from transforms.outputs import file_rows
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers import dedup_shard as shard
from transforms.workers.dedup_shard import DedupSettings, Numbered, Sent


class Deduplicated(NamedTuple):
    """What deduplication gives to what follows.

    Attributes:
      files: the column set of each shard, and the list of matches.
      counts: one mapping, for the manifest.
    """

    files: beam.PCollection[FileRow]
    counts: beam.PCollection[dict[str, int]]


@dataclasses.dataclass(eq=False)
class JoinNearHashes(beam.PTransform):
    """Finds near perceptual hashes: numbered shards in, one forest of hashes out.

    Cost: shuffles 8 (radius + 1) bytes a distinct hash of a shard; then 16 bytes a hash that is near another one, all
    of which meet on one worker. Comparisons: see ``hamming.near``.

    Attributes:
      settings: radius, and where the columns are.
    """

    settings: DedupSettings

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[UInt64]:
        return (
            shards
            | "SendBands" >> beam.FlatMap(shard.send_bands, self.settings)
            | "Meet" >> beam.GroupByKey()
            | "Near" >> beam.Map(shard.near_hashes, self.settings)
            | "Join" >> beam.CombineGlobally(components.merge)
        )


@dataclasses.dataclass(eq=False)
class GroupEqual(beam.PTransform):
    """Decides about samples of equal identity: numbered shards in, (shard, packed verdicts) out.

    Cost: shuffles 8 bytes a sample; then, of samples whose fingerprint occurs more than once, 8 bytes back, a record of
    60 and a verdict of 41. A worker holds one part: a share of the pool's fingerprints.

    Attributes:
      settings: what makes samples equal, and who survives.
      trees: singleton, the forest that joins near hashes.
    """

    settings: DedupSettings
    trees: beam.PCollection[UInt64]

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[Sent]:
        trees = AsSingleton(self.trees)
        back = (
            shards
            | "SendFingerprints" >> beam.FlatMap(shard.send_fingerprints, trees, self.settings)
            | "MeetFingerprints" >> beam.GroupByKey()
            | "Repeated" >> beam.FlatMap(shard.repeated)
        )
        return (
            {"ref": shards, "sent": back}
            | "Return" >> beam.CoGroupByKey()
            | "SendRecords" >> beam.FlatMap(shard.send_records, trees, self.settings)
            | "MeetRecords" >> beam.GroupByKey()
            | "Decide" >> beam.FlatMap(shard.decide, self.settings)
        )


def decide_clusters(sent: tuple[int, Iterable[bytes]], dim: int, settings: DedupSettings) -> Iterator[Sent]:
    """Decides about the clusters of one part; embeddings wait in a temporary file, not in memory."""
    kind = semdedup.record_dtype(dim)
    places = []
    with tempfile.TemporaryFile() as file:
        for blob in sent[1]:
            records = np.frombuffer(blob, kind)
            places.append(records[["cluster", *(field[0] for field in groups.PLACE)]].copy())
            file.write(semdedup.normalised_on_grid(records["vector"]).data)
        file.flush()
        found = np.concatenate(places)
        vectors = np.memmap(file, np.float32, "r", shape=(len(found), dim))
        made = semdedup.clusters(
            found,
            vectors,
            epsilon=settings.epsilon,
            chains=settings.chains,
            seed=settings.seed,
            fresh=settings.fresh,
        )
        del vectors
    yield from shard.send(*made)


@dataclasses.dataclass(eq=False)
class GroupSimilar(beam.PTransform):
    """Decides about near embeddings inside clusters: numbered shards in, (shard, packed verdicts) out.

    Cost: shuffles ``36 + 2 dim`` bytes a sample and a verdict of 41 for each in a group. A worker holds 36 bytes a
    sample of one part and two tiles; the part's embeddings, ``4 dim`` bytes each, lie in a file on its disk.

    Attributes:
      settings: clusters, embeddings, epsilon, and who survives.
      dim: of the embeddings.
    """

    settings: DedupSettings
    dim: int

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[Sent]:
        return (
            shards
            | "SendVectors" >> beam.FlatMap(shard.send_vectors, self.settings)
            | "Meet" >> beam.GroupByKey()
            | "Decide" >> beam.FlatMap(decide_clusters, self.dim, self.settings)
        )


@dataclasses.dataclass(eq=False)
class Deduplicate(beam.PTransform):
    """Adds a column set of duplicates: numbered shards in, ``Deduplicated`` out; see the transforms it is made of.

    Attributes:
      settings: what is done.
      dim: of the embeddings; 0 when none are read.
    """

    settings: DedupSettings
    dim: int = 0

    def expand(self, shards: beam.PCollection[Numbered]) -> Deduplicated:
        settings = self.settings
        own = shards | "Own" >> beam.Filter(lambda row, fresh: row[0] < fresh, settings.fresh)
        if settings.by == "semantic":
            verdicts = shards | GroupSimilar(settings, self.dim)
        else:
            nothing = shards.pipeline | "NoHashes" >> beam.Create([components.EMPTY])
            trees = shards | JoinNearHashes(settings) if settings.by == "phash" else nothing
            verdicts = shards | GroupEqual(settings, trees)
        written = (
            {"ref": own, "sent": verdicts}
            | "ToShards" >> beam.CoGroupByKey()
            | "Write" >> beam.FlatMap(shard.write, settings)
        )
        return Deduplicated(written | "Files" >> beam.Map(lambda row: row[0]), _counted(written))


def _counted(written: beam.PCollection[tuple[FileRow, dict[str, int]]]) -> beam.PCollection[dict[str, int]]:
    return written | "Counts" >> beam.Map(lambda row: row[1]) | "Add" >> beam.CombineGlobally(_AddFn())


class _AddFn(beam.CombineFn):
    """Adds mappings of counts."""

    def create_accumulator(self) -> dict[str, int]:
        return groups.add_counts([])

    def add_input(self, accumulator: dict[str, int], counted: dict[str, int]) -> dict[str, int]:
        return groups.add_counts([accumulator, counted])

    def merge_accumulators(self, accumulators: Iterable[dict[str, int]]) -> dict[str, int]:
        return groups.add_counts(list(accumulators))

    def extract_output(self, accumulator: dict[str, int]) -> dict[str, int]:
        return accumulator


@dataclasses.dataclass(frozen=True)
class MatchSettings:
    """What ``MatchTargets`` needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set that is written.
      target: address of the embeddings of the evaluation set.
      sha256: of that file.
      embedding: (column set, column) of the pool's embeddings.
      threshold: a cosine above it is a match.
    """

    root: str
    name: str
    target: str
    sha256: str
    embedding: tuple[str, str]
    threshold: float

    def stamp(self, ref: ShardRef) -> str:
        """Returns the stamp of a shard's column set."""
        store = Store(self.root)
        inputs = [store.facts(name, ref.name)["stamp"] for name in (columns.INDEX, self.embedding[0])]
        made = {"target": self.sha256, "embedding": self.embedding, "threshold": self.threshold}
        return stamps.stamp(version=shard.VERSION, inputs=inputs, **made)


class _Matched(NamedTuple):
    """What one shard leaves behind: its file, its counts, and its matches as an Arrow stream."""

    file: FileRow
    counts: dict[str, int]
    matches: bytes


class _MatchFn(beam.DoFn):
    """Matches one shard; holds the evaluation set."""

    def __init__(self, settings: MatchSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        path = filesystem.fetch(self._settings.target)
        self._targets = contamination.read_targets(path, self._settings.target, self._settings.sha256)

    def process(self, ref: ShardRef) -> Iterator[_Matched]:
        settings = self._settings
        wanted = {name: (columns.INDEX, name) for name in ("status", "uid", "key")} | {"vector": settings.embedding}
        arrays = Store(settings.root).arrays(ref.name, wanted)
        compared = (arrays["status"] == columns.OK) & semdedup.unit_rows(arrays["vector"])
        rows = np.flatnonzero(compared)
        found = semdedup.nearest(semdedup.normalised_on_grid(arrays["vector"][rows]), self._targets, settings.threshold)
        table = contamination.table(compared, *found)
        matches = contamination.matches(ref.name, rows, arrays["uid"], arrays["key"], *found)
        file, counted = shard.put(ref, table, settings.root, settings.name, settings.stamp(ref))
        yield _Matched(file, counted, contamination.packed(matches))


def write_matches(parts: Iterable[bytes], settings: MatchSettings) -> FileRow:
    """Writes the list of matches, ``dedup/<name>.parquet``, sorted by target and similarity."""
    table = contamination.gathered(parts)
    path = f"dedup/{settings.name}.parquet"
    stamp = stamps.stamp(target=settings.sha256, threshold=settings.threshold)
    return file_rows.write(settings.root, path, columns.to_parquet(table, stamp))


@dataclasses.dataclass(eq=False)
class MatchTargets(beam.PTransform):
    """Finds samples near the embeddings of an evaluation set: ``ShardRef`` rows in, ``Deduplicated`` out.

    Cost: ``2 n m dim`` floating point operations; nothing is shuffled but the matches. A worker holds the evaluation
    set as float32.

    Attributes:
      settings: what is compared with what.
    """

    settings: MatchSettings

    def expand(self, refs: beam.PCollection[ShardRef]) -> Deduplicated:
        matched = refs | "Match" >> beam.ParDo(_MatchFn(self.settings)) | "Checkpoint" >> beam.Reshuffle()
        listed = (
            matched
            | "Matches" >> beam.Map(lambda row: row.matches)
            | "AllMatches" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "WriteMatches" >> beam.Map(write_matches, self.settings)
        )
        files = matched | "ShardFiles" >> beam.Map(lambda row: row.file)
        counts = _counted(matched | "Pairs" >> beam.Map(lambda row: (row.file, row.counts)))
        return Deduplicated((files, listed) | "AllFiles" >> beam.Flatten(), counts)
