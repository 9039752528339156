"""Assign samples, and target images, to centroids: a column set, the sizes of the clusters, the clusters of targets."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.arrays import Int64
from transforms.lib.clusters import vector_files as centroids
from transforms.lib.clusters.kmeans import clusterable
from transforms.lib.columnstore import columns
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.cluster_data import ClusterSettings, load_nearest
from transforms.workers.shard_log import Outcome, logged

VERSION = 2  # raise when the same embeddings and centroids would give other columns
NONE = -1  # the cluster of a sample that has none
_LOG = logging.getLogger(__name__)

SCHEMA = pa.schema(
    [
        pa.field("cluster", pa.int32(), False),  # NONE for a sample without a usable embedding
        pa.field("similarity", pa.float32(), False),  # to its centroid; NaN where there is none
        pa.field("margin", pa.float32(), False),  # by how much the second best is less similar
    ]
)


class AssignedShard(NamedTuple):
    """A shard's file, the samples in each cluster (int64 ``[k]``), and how many are in none."""

    file: FileRow
    sizes: Int64
    none: int


def stamp_of(ref: ShardRef, file: FileRow, settings: ClusterSettings) -> str:
    """Returns the stamp of a shard's clusters: what it is made from, the centroids, the rule."""
    made = {"centroids": file.sha256, "rule": settings.rule, "column": ".".join(settings.column)}
    return stamps.stamp(version=VERSION, inputs=settings.inputs(ref.name), **made)


def assign(ref: ShardRef, file: FileRow, settings: ClusterSettings) -> AssignedShard:
    """Writes the clusters of a shard's samples, unless they are there."""
    with logged(_LOG, "assign", ref.name) as outcome:
        return _assign(ref, file, settings, outcome)


def _assign(ref: ShardRef, file: FileRow, settings: ClusterSettings, outcome: Outcome) -> AssignedShard:
    store = Store(settings.root)
    stamp = stamp_of(ref, file, settings)
    if store.facts(settings.name, ref.name).get("stamp") == stamp:
        outcome.skipped = True
        Metrics.counter("cluster", "shards_skipped").inc()
        cluster = store.read(settings.name, ref.name, ["cluster"])["cluster"].to_numpy()
        return AssignedShard(store.row_of(settings.name, ref.name), *_sizes(cluster, settings.k))
    rows = settings.rows(ref)
    outcome.samples = rows.total
    found = load_nearest(file, settings.root, settings.rule, settings.device)(rows.embeddings)
    cluster = np.full(rows.total, NONE, np.int32)
    similarity, margin = np.full((2, rows.total), np.nan, np.float32)
    for whole, part in zip((cluster, similarity, margin), found, strict=True):
        whole[rows.numbers] = part
    finite = np.where(np.isinf(margin), np.finfo(np.float32).max, margin)  # one cluster alone has no second
    table = pa.table([cluster, similarity, finite], schema=SCHEMA)
    Metrics.counter("cluster", "shards_assigned").inc()
    Metrics.counter("cluster", "assigned").inc(len(rows.numbers))
    written = store.write(settings.name, ref.name, table, stamp, job="cluster", uri=ref.uri)
    return AssignedShard(written, *_sizes(cluster, settings.k))


def _sizes(cluster: NDArray[np.int32], k: int) -> tuple[Int64, int]:
    return np.bincount(cluster[cluster >= 0], minlength=k), int((cluster < 0).sum())


def add_sizes(parts: Iterable[tuple[Any, int]]) -> tuple[Any, int]:
    """Adds the sizes of shards."""
    sizes, none = 0, 0
    for one, more in parts:
        sizes, none = sizes + one, none + more
    return sizes, none


def summary(sizes: tuple[Int64, int]) -> dict[str, Any]:
    """Returns what the manifest says of the clusters."""
    inside, none = np.asarray(sizes[0]), sizes[1]
    return {
        "clusters": len(inside),
        "samples": int(inside.sum()),
        "without_cluster": none,
        "empty": int((inside == 0).sum()),
        "smallest": int(inside.min()),
        "median": float(np.median(inside)),
        "largest": int(inside.max()),
    }


def write_sizes(sizes: tuple[Int64, int], settings: ClusterSettings) -> FileRow:
    """Writes ``sizes.json``: the summary, and the samples in each cluster."""
    document = {**summary(sizes), "sizes": np.asarray(sizes[0]).tolist()}
    return settings.write(json.dumps(document, sort_keys=True).encode() + b"\n", "sizes.json")


class AssignedPool(NamedTuple):
    """What ``AssignClusters`` gives: the files it wrote, and one mapping of counts."""

    files: tuple[beam.PCollection[FileRow], ...]
    counts: beam.PCollection[dict[str, Any]]


@dataclasses.dataclass(eq=False)
class AssignClusters(beam.PTransform):
    """Assigns every sample to a cluster: ``ShardRef`` rows in, ``AssignedPool`` out.

    Cost: reads the embeddings once; ``2 k dim`` operations a sample; shuffles ``8 k`` bytes a shard, added up on the
    way. Memory of a worker: the centroids twice, a shard's embeddings and 8 MiB.

    Attributes:
      settings: column, rule and where to write.
      centroids: singleton, the row of the centroid file.
    """

    settings: ClusterSettings
    centroids: beam.PCollection[FileRow]

    def expand(self, refs: ShardRefs) -> AssignedPool:
        assigned = (
            refs
            | "Assign" >> beam.Map(assign, AsSingleton(self.centroids), self.settings)
            | "Checkpoint" >> beam.Reshuffle()
        )
        sizes = assigned | "Sizes" >> beam.Map(lambda row: (row.sizes, row.none)) | beam.CombineGlobally(add_sizes)
        written = sizes | "WriteSizes" >> beam.Map(write_sizes, self.settings)
        files = assigned | "ColumnFiles" >> beam.Map(lambda row: row.file)
        return AssignedPool((files, written), sizes | "Summary" >> beam.Map(summary))


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
                rows = columns.embeddings(pq.read_table(io.BytesIO(file.read()), columns=[self.column])[self.column])
        else:
            found = centroids.read_vectors(filesystem.fetch(self.uri), self.uri, "--target")
            rows = found[self.start : self.stop].astype(np.float16)
        return rows[clusterable(rows, unit=False)]


def clusters_of(part: TargetPart, file: FileRow, settings: ClusterSettings) -> Int64:
    """Returns how many target images are in each cluster, int64 ``[k]``."""
    nearest = load_nearest(file, settings.root, settings.rule, settings.device)
    return np.bincount(nearest.clusters(part.rows()), minlength=settings.k)


def write_targets(counts: Int64, settings: ClusterSettings) -> FileRow:
    """Writes ``target_clusters.npy``: the clusters that hold a target image, int32, ascending."""
    sink = io.BytesIO()
    np.save(sink, np.flatnonzero(counts).astype(np.int32), allow_pickle=False)
    return settings.write(sink.getvalue(), "target_clusters.npy")


@dataclasses.dataclass(eq=False)
class FindTargetClusters(beam.PTransform):
    """Finds the clusters of target images: ``TargetPart`` rows in, the row of ``target_clusters.npy`` out.

    Attributes:
      settings: rule and where to write.
      centroids: singleton, the row of the centroid file.
    """

    settings: ClusterSettings
    centroids: beam.PCollection[FileRow]

    def expand(self, parts: beam.PCollection[TargetPart]) -> beam.PCollection[FileRow]:
        return (
            parts
            | "Assign" >> beam.Map(clusters_of, AsSingleton(self.centroids), self.settings)
            | "Add" >> beam.CombineGlobally(sum)
            | "Write" >> beam.Map(write_targets, self.settings)
        )
