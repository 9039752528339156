"""Assign samples, and target images, to centroids: a column set, the sizes of the clusters, the clusters of targets."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib.arrays import Int64
from transforms.rows import FileRow, ShardRefs
from transforms.workers.assign_shard import AssignShard, CountTargets
from transforms.workers.assign_shard import TargetPart as TargetPart
from transforms.workers.cluster_data import ClusterSettings


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

    Cost: reads the embeddings once; ``2 k dim`` operations per sample; shuffles ``8 k`` bytes per shard, added up on
    the way. Memory of a worker: the centroids twice, a shard's embeddings and 8 MiB.

    Attributes:
      settings: column, rule and where to write.
      centroids: singleton, the row of the centroid file.
    """

    settings: ClusterSettings
    centroids: beam.PCollection[FileRow]

    def expand(self, refs: ShardRefs) -> AssignedPool:
        assigned = (
            refs
            | "Assign" >> beam.Map(AssignShard(self.settings), AsSingleton(self.centroids))
            | "Checkpoint" >> beam.Reshuffle()
        )
        sizes = assigned | "Sizes" >> beam.Map(lambda row: (row.sizes, row.none)) | beam.CombineGlobally(add_sizes)
        written = sizes | "WriteSizes" >> beam.Map(write_sizes, self.settings)
        files = assigned | "ColumnFiles" >> beam.Map(lambda row: row.file)
        return AssignedPool((files, written), sizes | "Summary" >> beam.Map(summary))


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
            | "Assign" >> beam.Map(CountTargets(self.settings), AsSingleton(self.centroids))
            | "Add" >> beam.CombineGlobally(sum)
            | "Write" >> beam.Map(write_targets, self.settings)
        )
