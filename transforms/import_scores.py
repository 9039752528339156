"""Bring scores of other tools into the column store: every shard looks its rows up, nothing is shuffled."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.errors import AccountsError
from transforms.rows import FileRow, ShardRefs
from transforms.workers.import_shard import CountCovered, ImportCounts, ImportShard, SendKeys, count_repeated
from transforms.workers.import_shard import ImportSettings as ImportSettings

_MAX_PARTS = 4096  # with more parts, a message would hold more overhead than keys


def add_counts(counts: Iterable[ImportCounts]) -> ImportCounts:
    """Adds counts."""
    samples = covered = 0
    for one in counts:
        samples, covered = samples + one[0], covered + one[1]
    return samples, covered


def check(counts: ImportCounts, settings: ImportSettings, repeated: int) -> dict[str, int]:
    """Checks the coverage of the whole pool, and returns what the manifest counts.

    Args:
      counts: samples, and those with values.
      settings: table and column set.
      repeated: samples that share their key with one of another shard, so that the table means several by one row.

    Raises:
      AccountsError: it is too small, or keys are repeated; nothing was written yet.
    """
    samples, covered = counts
    if repeated:
        raise AccountsError(
            f"{repeated:,} samples share their key with a sample of another shard, so a table by key cannot tell them "
            "apart; write the uids of columns/index into the table and give --by uid, or import into a pool per folder"
        )
    if covered < settings.min_coverage * samples:
        raise AccountsError(
            f"the table has values for {covered} of {samples} samples ({100 * covered / samples:.4g} %), less than "
            f"--min_coverage {settings.min_coverage:g}; check --by, or lower --min_coverage: recipes that read "
            f"{settings.name} reject samples without a value"
        )
    return {"samples": samples, "covered": covered, "missing": samples - covered}


@dataclasses.dataclass(eq=False)
class ImportScores(beam.PTransform):
    """Writes a column set from a table: ``ShardRef`` rows in, (``FileRow`` rows, singleton of counts) out.

    Cost: each worker machine fetches the sorted table once and maps it into memory; a shard reads some thirty rows
    of it per sample, twice, and its index. Two numbers per shard are shuffled; by key, 16 bytes per sample too.

    Attributes:
      settings: table, column set and where to write.
      shards: of the pool.
    """

    settings: ImportSettings
    shards: int

    def _repeated(self, refs: ShardRefs) -> beam.PCollection[int]:
        """Counts the samples whose key another shard has too; 16 bytes per sample are shuffled."""
        if self.settings.by != "key":
            return refs.pipeline | "NoKeys" >> beam.Create([0])
        return (
            refs
            | "SendKeys" >> beam.FlatMap(SendKeys(self.settings, max(1, min(self.shards, _MAX_PARTS))))
            | "MeetKeys" >> beam.GroupByKey()
            | "CountRepeated" >> beam.Map(count_repeated)
            | "AddRepeated" >> beam.CombineGlobally(sum)
        )

    def expand(self, refs: ShardRefs) -> tuple[beam.PCollection[FileRow], beam.PCollection[dict[str, int]]]:
        coverage = (
            refs
            | "Count" >> beam.Map(CountCovered(self.settings))
            | "Add" >> beam.CombineGlobally(add_counts)
            | "Check" >> beam.Map(check, self.settings, AsSingleton(self._repeated(refs)))
        )
        return refs | "Write" >> beam.Map(ImportShard(self.settings), AsSingleton(coverage)), coverage
