"""Bring scores of other tools into one shard: its rows are looked up in the sorted table."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms.lib import stamps, uids
from transforms.lib.columnstore import columns
from transforms.lib.importers import score_table
from transforms.lib.subsets import subset_files
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.shard_work import logged

IMPORT_VERSION = 1  # raise when the same table would give other columns

ImportCounts = tuple[int, int]  # samples that could be read, and of those the ones with a value in every column
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ImportSettings:
    """Everything an import needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set.
      by: ``uid`` or ``key``.
      columns: of the table and of the column set.
      sources: sha256 of each file of the table.
      lookup: address of the sorted table, ``score_table.ScoreRecords`` as ``.npy``; there while some shard is not done.
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
        return self.made_from(Store(self.root).facts(columns.INDEX, ref.name)["stamp"])

    def made_from(self, index: str | Sequence[str]) -> str:
        """Returns the stamp of what is made from an index, which a stamp or digests stand for."""
        made_from = {"sources": self.sources, "by": self.by, "columns": self.columns}
        return stamps.stamp(index=index, version=IMPORT_VERSION, **made_from)

    def finished(self, ref: ShardRef) -> dict[str, str] | None:
        """Returns the facts of a shard's column set; None when it is absent or was made from something else."""
        facts = Store(self.root).facts(self.name, ref.name)
        return facts if facts.get("stamp") == self.stamp(ref) else None


def _values(ref: ShardRef, settings: ImportSettings) -> tuple[dict[str, NDArray[Any]], ImportCounts]:
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


@dataclasses.dataclass(frozen=True)
class SendKeys:
    """Sends the keys of a shard that the table has, 16 bytes each, to the part where equal ones meet.

    Attributes:
      settings: table and column set.
      parts: places at which keys of all shards meet.
    """

    settings: ImportSettings
    parts: int

    def __call__(self, ref: ShardRef) -> Iterator[tuple[int, bytes]]:
        if not filesystem.exists(self.settings.lookup):  # every shard has its columns
            return
        index = Store(self.settings.root).read(columns.INDEX, ref.name, ["key", "status"])
        names = index["key"].filter(pc.equal(index["status"], columns.OK)).to_pylist()
        rows = np.load(filesystem.fetch(self.settings.lookup), mmap_mode="r", allow_pickle=False)
        pairs = score_table.pairs_of("key", names)
        pairs = pairs[subset_files.places(rows, pairs) >= 0]
        part = (pairs[:, 1] % np.uint64(self.parts)).astype(np.int64)
        for number in np.unique(part).tolist():
            yield number, pairs[part == number].tobytes()


def count_repeated(met: tuple[int, Iterable[bytes]]) -> int:
    """Returns how many samples of one part share their key with another one."""
    pairs = np.frombuffer(b"".join(met[1]), np.uint64).reshape(-1, 2)
    _, times = np.unique(uids.subset(pairs), return_counts=True)
    return int(times[times > 1].sum())


@dataclasses.dataclass(frozen=True)
class CountCovered:
    """Returns how many samples of a shard there are, and how many of them the table covers.

    Attributes:
      settings: table and column set.
    """

    settings: ImportSettings

    def __call__(self, ref: ShardRef) -> ImportCounts:
        facts = self.settings.finished(ref)
        if facts is not None:
            return int(facts["samples"]), int(facts["covered"])
        return _values(ref, self.settings)[1]


@dataclasses.dataclass(frozen=True)
class ImportShard:
    """Writes a shard's column set, once the ``coverage`` of the pool is known to suffice, unless it is there.

    Attributes:
      settings: table, column set and where to write.
    """

    settings: ImportSettings

    def __call__(self, ref: ShardRef, coverage: dict[str, int]) -> FileRow:
        settings, store = self.settings, Store(self.settings.root)
        with logged(_LOG, "import", ref.name) as outcome:
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
