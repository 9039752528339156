"""Assign the samples of one shard, and some images of the target, to their nearest centroids."""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.arrays import Int64
from transforms.lib.clusters import vector_files
from transforms.lib.clusters.kmeans import clusterable
from transforms.lib.columnstore import columns
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.cluster_data import ClusterSettings, load_nearest
from transforms.workers.shard_work import logged

VERSION = 3  # raise when the same embeddings and centroids would give other columns
NONE = -1  # the cluster of a sample that has none
_LOG = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("cluster", pa.int32(), False),  # NONE for a sample without a usable embedding
        pa.field(
            "similarity", pa.float32(), False
        ),  # to its centroid, as ``Assignment`` has it; NaN where there is none
        pa.field("margin", pa.float32(), False),  # by how much the second best is less similar
    ]
)


class AssignedShard(NamedTuple):
    """A shard's file, the samples in each cluster (int64 ``[k]``), and how many are in none."""

    file: FileRow
    sizes: Int64
    none: int


@dataclasses.dataclass(frozen=True)
class AssignShard:
    """Writes the clusters of a shard's samples, unless they are there.

    Attributes:
      settings: column, rule and where to write.
    """

    settings: ClusterSettings

    def __call__(self, ref: ShardRef, centroids: FileRow) -> AssignedShard:
        settings, store = self.settings, Store(self.settings.root)
        with logged(_LOG, "assign", ref.name) as outcome:
            stamp = self.stamp(ref, centroids)
            if store.facts(settings.name, ref.name).get("stamp") == stamp:
                outcome.skipped = True
                Metrics.counter("cluster", "shards_skipped").inc()
                cluster = store.read(settings.name, ref.name, ["cluster"])["cluster"].to_numpy()
                return AssignedShard(store.row_of(settings.name, ref.name), *_sizes(cluster, settings.k))
            table = self._clusters(ref, centroids)
            outcome.samples = len(table)
            written = store.write(settings.name, ref.name, table, stamp, job="cluster", uri=ref.uri)
            return AssignedShard(written, *_sizes(table["cluster"].to_numpy(), settings.k))

    def stamp(self, ref: ShardRef, centroids: FileRow) -> str:
        """Returns the stamp of a shard's clusters: what they are made from, the centroids, the rule."""
        settings = self.settings
        basis = {"centroids": centroids.sha256, "rule": settings.rule, "column": ".".join(settings.column)}
        return stamps.stamp(version=VERSION, inputs=settings.inputs(ref.name), **basis)

    def _clusters(self, ref: ShardRef, centroids: FileRow) -> pa.Table:
        """Returns the table of a shard's samples, with the columns of ``SCHEMA``."""
        settings = self.settings
        rows = settings.rows(ref)
        nearest = load_nearest(centroids, settings.root, settings.rule, settings.device)(rows.embeddings)
        cluster = np.full(rows.total, NONE, np.int32)
        similarity, margin = np.full((2, rows.total), np.nan, np.float32)
        for whole, part in zip((cluster, similarity, margin), nearest, strict=True):
            whole[rows.numbers] = part
        finite = np.where(np.isinf(margin), np.finfo(np.float32).max, margin)  # one cluster alone has no second
        Metrics.counter("cluster", "shards_assigned").inc()
        Metrics.counter("cluster", "assigned").inc(len(rows.numbers))
        return pa.table([cluster, similarity, finite], schema=SCHEMA)


def _sizes(cluster: NDArray[np.int32], k: int) -> tuple[Int64, int]:
    return np.bincount(cluster[cluster >= 0], minlength=k), int((cluster < 0).sum())


class TargetPart(NamedTuple):
    """Some rows of the target: of a file of vectors from ``start`` to ``stop``, or a whole file of a column set."""

    uri: str
    column: str
    start: int
    stop: int

    def rows(self) -> NDArray[np.float16]:
        """Returns the usable embeddings, float16 ``[m, dim]``."""
        if self.column:
            with filesystem.open_read(self.uri) as file:
                rows = columns.embeddings(ParquetReader(file).read([self.column])[self.column])
        else:
            vectors = vector_files.read_vectors(filesystem.fetch(self.uri), self.uri, "--target")
            rows = vectors[self.start : self.stop].astype(np.float16)
        return rows[clusterable(rows, unit=False)]


@dataclasses.dataclass(frozen=True)
class CountTargets:
    """Counts how many target images of a part are in each cluster, int64 ``[k]``.

    Attributes:
      settings: rule and device.
    """

    settings: ClusterSettings

    def __call__(self, part: TargetPart, centroids: FileRow) -> Int64:
        settings = self.settings
        nearest = load_nearest(centroids, settings.root, settings.rule, settings.device)
        return np.bincount(nearest.clusters(part.rows()), minlength=settings.k)
