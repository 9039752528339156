"""Fit centroids by k-means: a sample by uid, a drawn start, and Lloyd's rounds as combiners over shards."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsIter, AsSingleton

from transforms.lib import stamps
from transforms.lib.arrays import Float32, Int64
from transforms.lib.clusters import kmeans, seeding, vector_files
from transforms.lib.errors import CapacityError, InputError
from transforms.lib.stats import quantiles, ties
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.cluster_data import ClusterSettings, load_nearest
from transforms.workers.sample_shard import CountHigh, CountLow, Cut, Drawn, DrawSample, Fit, SumShard

_BLOCK = 4096  # clusters whose sums travel under one key


def solve_high(counts: Int64, settings: ClusterSettings) -> Cut:
    """Finds the upper 16 bits of both bounds.

    Raises:
      CapacityError: there are fewer samples than clusters.
    """
    total = int(counts.sum())
    if total < settings.k:
        raise CapacityError(f"--k {settings.k} is more than the {total} samples of this pool; lower it")
    wanted = min(settings.sample, total), min(seeding.rows_wanted(settings.k), settings.sample, total)
    (sample, first), (seeds, second) = (quantiles.bin_from_bottom(counts, number) for number in wanted)
    return Cut(total, sample << 16, seeds << 16, (first, second))


def solve_low(counts: Int64, cut: Cut) -> Cut:
    """Finds both bounds to 32 bits."""
    low = [quantiles.bin_from_bottom(part, rank)[0] for part, rank in zip(counts, cut.left, strict=True)]
    return Cut(cut.of, cut.sample | low[0], cut.seeds | low[1])


def _save(vectors: Float32, turn: int, settings: ClusterSettings) -> FileRow:
    return settings.write(vector_files.to_file(vectors, {}), "fit", f"round-{turn:03d}.safetensors")


def start(parts: Iterable[Drawn], settings: ClusterSettings) -> Fit:
    """Draws the centroids to start from."""
    drawn = [part for part in parts if len(part.order)]
    order = np.concatenate([part.order for part in drawn] or [np.zeros(0, ties.DTYPE)])
    rows = np.concatenate([part.seeds for part in drawn] or [np.zeros((0, 1), np.float16)])
    place = np.lexsort((order["row"], order["shard"], order["hash"]))
    chosen = place[seeding.draw(rows[place], order["hash"][place], settings.k)]
    return Fit(0, _save(kmeans.rounded_to_grid(rows[chosen]), 0, settings))


@dataclasses.dataclass(eq=False)
class MergeSumsFn(beam.CombineFn):
    """Adds the sums of one block of clusters; the accumulator is dense.

    Attributes:
      clusters: in a block, at most.
    """

    clusters: int

    def create_accumulator(self) -> Any:
        return None

    def add_input(self, accumulator: Any, part: tuple[kmeans.ClusterSums, int]) -> Any:
        sums, squared = part
        if accumulator is None:
            width = sums.vectors.shape[1]
            accumulator = [np.zeros((self.clusters, width), np.int64), np.zeros(self.clusters, np.int64), 0]
        places = sums.ids % _BLOCK
        accumulator[0][places] += sums.vectors
        accumulator[1][places] += sums.counts
        accumulator[2] += squared
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        merged = None
        for one in accumulators:
            if merged is None or one is None:
                merged = one if merged is None else merged
                continue
            merged = [mine + other for mine, other in zip(merged, one, strict=True)]
        return merged

    def extract_output(self, accumulator: Any) -> Any:
        return accumulator


def solve(fit: Fit, parts: Iterable[tuple[int, Any]], settings: ClusterSettings) -> Fit:
    """Moves the centroids to the means of what was assigned to them, and tells whether that is the end."""
    if fit.done:
        return fit
    blocks = sorted(parts, key=lambda part: part[0])
    rows = [np.flatnonzero(counts) for _, (_, counts, _) in blocks]
    sums = kmeans.ClusterSums(
        np.concatenate([block * _BLOCK + inside for (block, _), inside in zip(blocks, rows, strict=True)]),
        np.concatenate([part[0][inside] for (_, part), inside in zip(blocks, rows, strict=True)]),
        np.concatenate([part[1][inside] for (_, part), inside in zip(blocks, rows, strict=True)]),
    )
    squared = fit.squared + sum(part[2] for _, part in blocks)
    before = load_nearest(fit.file, settings.root, "inner", "cpu").centroids
    inertias = (*fit.inertias, kmeans.inertia(settings.metric, sums, squared, before))
    turn = fit.round + 1
    done = turn == settings.rounds or kmeans.has_converged(inertias, settings.tolerance)
    after = kmeans.update(settings.metric, sums, before, split=not done)
    return Fit(turn, _save(after, turn, settings), inertias, squared, settings.k - len(sums.ids), done)


def publish(fit: Fit, cut: Cut, samples: int, stamp: str, settings: ClusterSettings) -> list[FileRow]:
    """Writes the fitted centroids and what is known of the fit; the centroids come first."""
    vectors = load_nearest(fit.file, settings.root, "inner", "cpu").centroids
    row = settings.write(vector_files.to_file(vectors, settings.made_by()), "centroids.safetensors")
    facts = {
        "stamp": stamp,
        "sha256": row.sha256,
        "samples": {"pool": cut.of, "fitted_on": samples},
        "rounds": fit.round,
        "inertia": list(fit.inertias),
        "empty_clusters": fit.empty,
    }
    return [row, settings.write(json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n", "fit.json")]


@dataclasses.dataclass(eq=False)
class FitCentroids(beam.PTransform):
    """Fits centroids: ``ShardRef`` rows in, the rows of ``centroids.safetensors`` and ``fit.json`` out.

    Cost: two passes over the uids and one over the embeddings draw the sample, which is set aside in one file per
    shard, ``2 dim`` bytes per sample, until the job ends. Each round reads it once and merges ``8 k dim`` bytes, in
    blocks of 4,096 clusters; a round after the end reads nothing. Memory of a worker: a shard's rows, the centroids
    twice, the sums once; of the one that draws the start: 8 rows per cluster, at least 20,000, as float16 and float64.

    Attributes:
      settings: column, number of clusters and where to write.
      stamp: of the fit, noted in ``fit.json``.
    """

    settings: ClusterSettings
    stamp: str

    def expand(self, refs: ShardRefs) -> beam.PCollection[FileRow]:
        settings = self.settings
        cut = (
            refs
            | "CountHigh" >> beam.Map(CountHigh(settings))
            | "AddHigh" >> beam.CombineGlobally(sum)
            | "SolveHigh" >> beam.Map(solve_high, settings)
        )
        cut = (
            refs
            | "CountLow" >> beam.Map(CountLow(settings), AsSingleton(cut))
            | "AddLow" >> beam.CombineGlobally(sum)
            | "SolveLow" >> beam.Map(solve_low, AsSingleton(cut))
        )
        drawn = refs | "DrawSample" >> beam.Map(DrawSample(settings), AsSingleton(cut))
        samples = drawn | "Samples" >> beam.Map(lambda row: row.samples) | "AddSamples" >> beam.CombineGlobally(sum)
        sampled = (
            drawn
            | "Sampled" >> beam.Filter(lambda row: row.samples > 0)
            | "SampleRefs" >> beam.Map(lambda row: row.ref).with_output_types(ShardRef)
            | "Checkpoint" >> beam.Reshuffle()
        )
        parts = drawn | "GatherSeeds" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        fit = parts | "Start" >> beam.Map(start, settings)
        sum_shard = SumShard(settings, _BLOCK).__call__  # Beam's FlatMap gives side inputs to functions alone
        for turn in range(settings.rounds):
            merged = (
                sampled
                | f"Assign{turn}" >> beam.FlatMap(sum_shard, AsSingleton(fit))
                | f"Sum{turn}" >> beam.CombinePerKey(MergeSumsFn(min(settings.k, _BLOCK)))
            )
            fit = fit | f"Move{turn}" >> beam.Map(solve, AsIter(merged), settings)
        return fit | "Publish" >> beam.FlatMap(publish, AsSingleton(cut), AsSingleton(samples), self.stamp, settings)


def publish_given(settings: ClusterSettings) -> FileRow:
    """Writes given centroids, on the grid, beside what is assigned to them.

    Raises:
      InputError: the file changed since it was looked at.
    """
    uri, digest = settings.given
    data = filesystem.read_bytes(filesystem.fetch(uri))
    if stamps.sha256(data) != digest:
        raise InputError(f"--centroids {uri} changed while the job ran; run it again")
    vectors = kmeans.rounded_to_grid(vector_files.read_vectors(filesystem.fetch(uri), uri, "--centroids"))
    return settings.write(vector_files.to_file(vectors, settings.made_by()), "centroids.safetensors")
