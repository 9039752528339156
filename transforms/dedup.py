"""Deduplicate a pool: equal samples, near hashes or near embeddings meet, and each shard gets a column set back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib import stamps
from transforms.lib.arrays import UInt64
from transforms.lib.columnstore import columns
from transforms.lib.dedup import components, contamination, groups
from transforms.outputs import file_rows
from transforms.rows import FileRow, ShardRef
from transforms.workers.dedup_data import DedupSettings, Numbered
from transforms.workers.dedup_part import DecideEqual, DecideSimilar, FindNear, repeated
from transforms.workers.dedup_shard import (
    SendBands,
    SendFingerprints,
    SendRecords,
    SendVectors,
    Sent,
    WriteDuplicates,
)
from transforms.workers.match_shard import MatchSettings as MatchSettings
from transforms.workers.match_shard import MatchShard
from transforms.workers.shard_work import LoadOnceFn


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

    Cost: shuffles 8 (radius + 1) bytes per distinct hash of a shard; then 16 bytes per hash that is near another one,
    all of which meet on one worker. Comparisons: see ``hamming.near``.

    Attributes:
      settings: radius, and where the columns are.
    """

    settings: DedupSettings

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[UInt64]:
        return (
            shards
            | "SendBands" >> beam.FlatMap(SendBands(self.settings))
            | "Meet" >> beam.GroupByKey()
            | "Near" >> beam.Map(FindNear(self.settings))
            | "Join" >> beam.CombineGlobally(components.merge)
        )


@dataclasses.dataclass(eq=False)
class GroupEqual(beam.PTransform):
    """Decides about samples of equal identity: numbered shards in, (shard, packed verdicts) out.

    Cost: shuffles 8 bytes per sample; then, of samples whose fingerprint occurs more than once, 8 bytes back, a record
    of 60 and a verdict of 41. A worker holds one part: a share of the pool's fingerprints.

    Attributes:
      settings: what makes samples equal, and who survives.
      trees: singleton, the forest that joins near hashes.
    """

    settings: DedupSettings
    trees: beam.PCollection[UInt64]

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[Sent]:
        trees = AsSingleton(self.trees)  # given to ``__call__``: Beam's FlatMap gives side inputs to functions alone
        back = (
            shards
            | "SendFingerprints" >> beam.FlatMap(SendFingerprints(self.settings).__call__, trees)
            | "MeetFingerprints" >> beam.GroupByKey()
            | "Repeated" >> beam.FlatMap(repeated)
        )
        return (
            {"ref": shards, "sent": back}
            | "Return" >> beam.CoGroupByKey()
            | "SendRecords" >> beam.FlatMap(SendRecords(self.settings).__call__, trees)
            | "MeetRecords" >> beam.GroupByKey()
            | "Decide" >> beam.FlatMap(DecideEqual(self.settings))
        )


@dataclasses.dataclass(eq=False)
class GroupSimilar(beam.PTransform):
    """Decides about near embeddings inside clusters: numbered shards in, (shard, packed verdicts) out.

    Cost: shuffles ``36 + 2 dim`` bytes per sample and a verdict of 41 for each in a group. A worker holds 36 bytes
    per sample of one part and two tiles; the part's embeddings, ``4 dim`` bytes each, lie in a file on its disk.

    Attributes:
      settings: clusters, embeddings, epsilon, and who survives.
      dim: of the embeddings.
    """

    settings: DedupSettings
    dim: int

    def expand(self, shards: beam.PCollection[Numbered]) -> beam.PCollection[Sent]:
        return (
            shards
            | "SendVectors" >> beam.FlatMap(SendVectors(self.settings))
            | "Meet" >> beam.GroupByKey()
            | "Decide" >> beam.FlatMap(DecideSimilar(self.settings, self.dim))
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
            | "Write" >> beam.FlatMap(WriteDuplicates(settings))
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
        matched = refs | "Match" >> beam.ParDo(LoadOnceFn(MatchShard(self.settings))) | "Checkpoint" >> beam.Reshuffle()
        listed = (
            matched
            | "Matches" >> beam.Map(lambda row: row.matches)
            | "AllMatches" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "WriteMatches" >> beam.Map(write_matches, self.settings)
        )
        files = matched | "ShardFiles" >> beam.Map(lambda row: row.file)
        counts = _counted(matched | "Pairs" >> beam.Map(lambda row: (row.file, row.counts)))
        return Deduplicated((files, listed) | "AllFiles" >> beam.Flatten(), counts)
