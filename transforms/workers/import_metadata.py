"""Make the column sets of one file of DataComp's metadata, which is a shard without a tar."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics

from transforms.lib import stamps
from transforms.lib.arrays import Bool
from transforms.lib.columnstore import columns, views
from transforms.lib.columnstore.blank import blanked
from transforms.lib.importers import datacomp
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import takedowns
from transforms.outputs.store import Store
from transforms.rows import FileRow, Shard
from transforms.storage import filesystem
from transforms.workers.shard_work import Outcome, logged

VERSION = 1  # raise when the same files would give other columns
_LOG = logging.getLogger(__name__)


class MetaFile(NamedTuple):
    """A metadata file, which is a shard of the pool.

    Attributes:
      name: its stem.
      uri: of the Parquet file.
      size: bytes of it.
      stamp: digest of address, size and time of last change.
      npz: address of the embeddings beside it; empty where there are none.
      npz_stamp: as ``stamp``, of the npz.
    """

    name: str
    uri: str
    size: int
    stamp: str
    npz: str
    npz_stamp: str

    @property
    def shard(self) -> Shard:
        """The shard as the pool lists it."""
        return Shard(self.name, self.uri, self.size, self.stamp)


@dataclasses.dataclass(frozen=True)
class MetadataSettings:
    """Everything the import needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      sets: column sets of embeddings to make.
      copy: whether columns are copied, so that the metadata may go; otherwise they are read where they lie.
      standing: lists of samples that were taken down here; no stamp depends on them.
    """

    root: str
    sets: tuple[str, ...] = ()
    copy: bool = False
    standing: tuple[takedowns.StandingFile, ...] = ()

    def stamps(self, file: MetaFile) -> dict[str, str]:
        """Returns column set -> stamp of what a metadata file becomes."""
        table = stamps.stamp(shard=file.stamp, version=VERSION, copy=self.copy)
        embeddings = {name: stamps.stamp(shard=file.stamp, npz=file.npz_stamp, version=VERSION) for name in self.sets}
        return {columns.INDEX: table, datacomp.SET: table, **embeddings}

    def missing(self, file: MetaFile) -> list[str]:
        """Returns the column sets of a shard that are absent or were made from something else."""
        store = Store(self.root)
        return [name for name, stamp in self.stamps(file).items() if store.facts(name, file.name).get("stamp") != stamp]


class Imported(NamedTuple):
    """What a metadata file became: its samples, those whose uid is none, and its files."""

    samples: int
    rejected: int
    files: tuple[FileRow, ...]


@dataclasses.dataclass(frozen=True)
class ImportFile:
    """Makes the column sets of one metadata file; called again, it finds its work done.

    Attributes:
      settings: which sets, how, and where to.
    """

    settings: MetadataSettings

    def __call__(self, file: MetaFile) -> Imported:
        with logged(_LOG, "import", file.name) as outcome:
            imported = self._import(file, outcome)
            outcome.samples, outcome.rejected = imported.samples, imported.rejected
        return imported

    def _import(self, file: MetaFile, outcome: Outcome) -> Imported:
        store = Store(self.settings.root)
        missing = self.settings.missing(file)
        lacking = {name: stamp for name, stamp in self.settings.stamps(file).items() if name in missing}
        rows = [store.row_of(name, file.name) for name in self.settings.stamps(file) if name not in lacking]
        for name, stamp in lacking.items():
            if name in datacomp.KEYS:
                rows.append(self._embeddings(file, name, stamp))
            else:
                rows.append(self._table(file, name, stamp))
        facts = store.facts(columns.INDEX, file.name)
        outcome.skipped = not lacking
        Metrics.counter("import", "shards_imported" if lacking else "shards_skipped").inc()
        return Imported(int(facts["samples"]), int(facts["rejected"]), tuple(rows))

    def _table(self, file: MetaFile, name: str, stamp: str) -> FileRow:
        """Writes the index or the set ``datacomp``: a view, or the columns where they had to be mended."""
        with filesystem.open_read(file.uri) as opened:
            stored = ParquetReader(opened)
            source, samples = stored.schema, stored.rows
            plain = name != columns.INDEX or datacomp.is_plain(datacomp.read_uids(opened))
        if name == columns.INDEX:
            Metrics.counter("import", "in").inc(samples)
            schema, made_of = columns.INDEX_SCHEMA, datacomp.index_columns(source)
        else:
            schema = datacomp.set_schema(source)
            made_of = {column: column for column in schema.names}
        view = views.ColumnView(file.uri, file.size, samples, made_of)
        store = Store(self.settings.root)
        facts = {"job": "import-datacomp", "uri": file.uri, "samples": str(samples), "rejected": "0"}
        blocked = self._blocked(file)
        if plain and not self.settings.copy and not blocked.any():
            return store.write(name, file.name, schema.empty_table(), stamp, view=views.note(view), **facts)
        table = self._copied(view, schema)
        if not plain:
            table = datacomp.mended(table)
            rejected = pa.compute.sum(pa.compute.not_equal(table["status"], columns.OK)).as_py() or 0
            facts["rejected"] = str(rejected)
            Metrics.counter("import", "rejected_uid_invalid").inc(rejected)
        if blocked.any():
            table = blanked(table, blocked)
        return store.write(name, file.name, table, stamp, **facts)

    def _blocked(self, file: MetaFile) -> Bool:
        """Returns bool ``[n]``, or ``[0]`` where nothing was taken down: the samples that were."""
        if not self.settings.standing:
            return np.zeros(0, np.bool_)
        with filesystem.open_read(file.uri) as opened:
            stored = ParquetReader(opened)
            view = views.ColumnView(file.uri, file.size, stored.rows, datacomp.index_columns(stored.schema))
        return takedowns.named(self.settings.standing, datacomp.mended(self._copied(view, columns.INDEX_SCHEMA)))

    @staticmethod
    def _copied(view: views.ColumnView, schema: pa.Schema) -> pa.Table:
        """Returns the rows that a view of the metadata would show."""
        noted = pa.BufferReader(columns.to_parquet(schema.empty_table(), "", view=views.note(view)))
        with contextlib.ExitStack() as stack:
            stored = views.ColumnFile(ParquetReader(noted), lambda uri: stack.enter_context(filesystem.open_read(uri)))
            return stored.read(schema.names)

    def _embeddings(self, file: MetaFile, name: str, stamp: str) -> FileRow:
        with filesystem.open_read(file.uri) as opened:
            score = datacomp.score_column(opened, name)
        store = Store(self.settings.root)
        with filesystem.open_read(file.npz) as opened:
            schema = columns.score_schema(datacomp.dim_of(opened, name))
            tables = _without(self._blocked(file), datacomp.embedding_tables(opened, name, score))
            return store.write_pieces(name, file.name, schema, tables, stamp, job="import-datacomp", uri=file.uri)


def _without(blocked: Bool, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yields consecutive pieces of a column set, in which some rows are blank."""
    start = 0
    for table in tables:
        rows = blocked[start : start + len(table)]
        yield blanked(table, rows) if rows.any() else table
        start += len(table)
