"""Bring scores of other tools into the column store: every shard looks its rows up, nothing is shuffled."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import AccountsError
from transforms.lib.importers import score_table
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.shard_log import Outcome, logged

IMPORT_VERSION = 1  # raise when the same table would give other columns
_LOG = logging.getLogger(__name__)

ImportCounts = tuple[int, int]  # samples that could be read, and of those the ones with a value in every column


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """Everything an import needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set.
      by: ``uid`` or ``key``.
      columns: of the table and of the column set.
      sources: sha256 of each file of the table.
      lookup: address of the sorted table, ``scoretable.ScoreRecords`` as ``.npy``; there while some shard is not done.
      min_coverage: the smallest share of samples with values that is not a failure.
    """

    root: str
    name: str
    by: str
    columns: tuple[str, ...]
    sources: tuple[str, ...]
    lookup: str
    min_coverage: float

    def stamp(self, ref: ShardRef) -> str:
        """Returns the stamp of a shard's column set."""
        index = Store(self.root).facts(columns.INDEX, ref.name)["stamp"]
        made_from = {"sources": self.sources, "by": self.by, "columns": self.columns}
        return stamps.stamp(index=index, version=IMPORT_VERSION, **made_from)

    def finished(self, ref: ShardRef) -> dict[str, str] | None:
        """Returns the facts of a shard's column set; None when it is absent or was made from something else."""
        facts = Store(self.root).facts(self.name, ref.name)
        return facts if facts.get("stamp") == self.stamp(ref) else None


def _values(ref: ShardRef, settings: ImportSettings) -> tuple[dict[str, Any], ImportCounts]:
    """Returns column -> float32 ``[n]`` of a shard, and its counts."""
    index = Store(settings.root).read(columns.INDEX, ref.name, [settings.by, "status"])
    names = index[settings.by].to_pylist()
    if settings.by == "uid":
        names = [name or "0" for name in names]
    rows = np.load(filesystem.fetch(settings.lookup), mmap_mode="r", allow_pickle=False)
    values = score_table.look_up(rows, score_table.pairs_of(settings.by, names), settings.columns)
    read = index["status"].to_numpy() == columns.OK
    whole = read & np.all([np.isfinite(column) for column in values.values()], axis=0)
    return values, (int(read.sum()), int(whole.sum()))


def count(ref: ShardRef, settings: ImportSettings) -> ImportCounts:
    """Returns how many samples of a shard there are, and how many of them the table covers."""
    facts = settings.finished(ref)
    if facts is not None:
        return int(facts["samples"]), int(facts["covered"])
    return _values(ref, settings)[1]


def add_counts(counts: Iterable[ImportCounts]) -> ImportCounts:
    """Adds counts."""
    samples = covered = 0
    for one in counts:
        samples, covered = samples + one[0], covered + one[1]
    return samples, covered


def check(counts: ImportCounts, settings: ImportSettings) -> dict[str, int]:
    """Checks the coverage of the whole pool, and returns what the manifest counts.

    Raises:
      AccountsError: it is too small; nothing was written yet.
    """
    samples, covered = counts
    if covered < settings.min_coverage * samples:
        raise AccountsError(
            f"the table has values for {covered} of {samples} samples ({100 * covered / samples:.4g} %), less than "
            f"--min_coverage {settings.min_coverage:g}; check --by, or lower --min_coverage: recipes that read "
            f"{settings.name} reject samples without a value"
        )
    return {"samples": samples, "covered": covered, "missing": samples - covered}


def write(ref: ShardRef, coverage: dict[str, int], settings: ImportSettings) -> FileRow:
    """Writes a shard's column set, once the ``coverage`` of the pool is known to suffice."""
    with logged(_LOG, "import", ref.name) as outcome:
        return _write(ref, settings, outcome)


def _write(ref: ShardRef, settings: ImportSettings, outcome: Outcome) -> FileRow:
    store = Store(settings.root)
    if settings.finished(ref) is not None:
        outcome.skipped = True
        Metrics.counter("import", "shards_skipped").inc()
        return store.row_of(settings.name, ref.name)
    values, (samples, covered) = _values(ref, settings)
    outcome.samples = samples
    Metrics.counter("import", "in").inc(samples)
    Metrics.counter("import", "out").inc(covered)
    table = pa.table({name: pa.array(column, pa.float32()) for name, column in values.items()})
    facts = {"job": "import-scores", "samples": str(samples), "covered": str(covered), "uri": ref.uri}
    return store.write(settings.name, ref.name, table, settings.stamp(ref), **facts)


@dataclasses.dataclass(eq=False)
class ImportScores(beam.PTransform):
    """Writes a column set from a table: ``ShardRef`` rows in, (``FileRow`` rows, singleton of counts) out.

    Cost: each worker machine fetches the sorted table once and maps it into memory; a shard reads some thirty rows
    a sample of it, twice, and its index. Two numbers a shard are shuffled.

    Attributes:
      settings: table, column set and where to write.
    """

    settings: ImportSettings

    def expand(self, refs: ShardRefs) -> tuple[beam.PCollection[FileRow], beam.PCollection[dict[str, int]]]:
        coverage = (
            refs
            | "Count" >> beam.Map(count, self.settings)
            | "Add" >> beam.CombineGlobally(add_counts)
            | "Check" >> beam.Map(check, self.settings)
        )
        return refs | "Write" >> beam.Map(write, AsSingleton(coverage), self.settings), coverage
