"""The part of one shard in fitting centroids: counts of uid hashes, a drawn sample, and sums of a round."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.clusters import kmeans
from transforms.lib.stats import quantiles, ties
from transforms.rows import FileRow, ShardRef
from transforms.workers.cluster_data import ClusterSettings, load_nearest
from transforms.workers.shard_work import logged

PartialSums = tuple[int, tuple[kmeans.ClusterSums, int]]  # a block of clusters, and their sums and squared norms
_LOG = logging.getLogger(__name__)


class Cut(NamedTuple):
    """Which samples are fitted on: those whose uid hash, its upper 32 bits, is at most ``sample``.

    Attributes:
      of: valid samples of the pool.
      sample: the bound of the samples that the rounds use.
      seeds: the bound of those that the start is drawn from.
      left: while the bounds are sought, the ranks inside their upper 16 bits.
    """

    of: int
    sample: int
    seeds: int
    left: tuple[int, int] = (0, 0)


class Drawn(NamedTuple):
    """What a shard gives to the sample.

    Attributes:
      ref: the shard.
      samples: how many of its samples are in it.
      order: ``ties.DTYPE`` ``[m]``, places of those that the start may be drawn from.
      seeds: float16 ``[m, dim]``, their embeddings.
    """

    ref: ShardRef
    samples: int
    order: NDArray[Any]
    seeds: NDArray[np.float16]


class Fit(NamedTuple):
    """Where k-means stands.

    Attributes:
      round: rounds done.
      file: the centroids they left.
      inertias: of each round, under the centroids it started from.
      squared: ``kmeans.squares`` of the sample.
      empty: clusters without a sample in the last round.
      done: no further round is needed.
    """

    round: int
    file: FileRow
    inertias: tuple[float, ...] = ()
    squared: int = 0
    empty: int = 0
    done: bool = False


@dataclasses.dataclass(frozen=True)
class CountHigh:
    """Counts the upper 16 bits of the hashes of a shard's valid samples; int64 ``[65536]``.

    Attributes:
      settings: where the columns are, and the seed.
    """

    settings: ClusterSettings

    def __call__(self, ref: ShardRef) -> Int64:
        valid, hashes = self.settings.hashes(ref)
        return quantiles.count_high(hashes[valid], bits=64)


@dataclasses.dataclass(frozen=True)
class CountLow:
    """Counts the next 16 bits of the hashes that share their upper ones with a bound; int64 ``[2, 65536]``.

    Attributes:
      settings: where the columns are, and the seed.
    """

    settings: ClusterSettings

    def __call__(self, ref: ShardRef, cut: Cut) -> Int64:
        valid, hashes = self.settings.hashes(ref)
        upper = (hashes[valid] >> np.uint64(32)).astype(np.uint32)
        return np.stack([quantiles.count_low(upper, bound >> 16) for bound in (cut.sample, cut.seeds)])


@dataclasses.dataclass(frozen=True)
class DrawSample:
    """Draws a shard's part of the sample, and sets it aside: to read Parquet would take longer than a round does.

    Attributes:
      settings: where the columns are, the seed, and where to write.
    """

    settings: ClusterSettings

    def __call__(self, ref: ShardRef, cut: Cut) -> Drawn:
        with logged(_LOG, "draw", ref.name) as outcome:
            drawn = self._draw(ref, cut)
            outcome.samples = drawn.samples
        return drawn

    def _draw(self, ref: ShardRef, cut: Cut) -> Drawn:
        rows = self.settings.rows(ref)
        hashes = self.settings.hashes(ref)[1][rows.numbers]
        upper = hashes >> np.uint64(32)
        chosen = upper <= cut.sample
        if chosen.any():
            sink = io.BytesIO()
            np.save(sink, rows.embeddings[chosen], allow_pickle=False)
            self.settings.write(sink.getvalue(), "fit", f"{ref.name}.npy")
        first = upper <= cut.seeds
        order = ties.order(ref.name, rows.numbers[first], hashes[first])
        Metrics.counter("cluster", "sampled").inc(int(chosen.sum()))
        return Drawn(ref, int(chosen.sum()), order, rows.embeddings[first])


@dataclasses.dataclass(frozen=True)
class SumShard:
    """Assigns a shard's part of the sample, and yields block of clusters -> (sums, squared norms).

    Attributes:
      settings: metric and device.
      block: clusters of a block.
    """

    settings: ClusterSettings
    block: int

    def __call__(self, ref: ShardRef, fit: Fit) -> Iterator[PartialSums]:
        settings = self.settings
        if fit.done:
            return
        rows = settings.sample_of(ref)
        rule = "inner" if settings.metric == "spherical" else "euclidean"
        nearest = load_nearest(fit.file, settings.root, rule, settings.device)
        sums = kmeans.cluster_sums(rows, nearest.clusters(rows))
        squared = kmeans.squares(rows) if settings.metric == "euclidean" and fit.round == 0 else 0
        for block in np.unique(sums.ids // self.block).tolist():
            inside = sums.ids // self.block == block
            yield block, (kmeans.ClusterSums(*(values[inside] for values in sums)), squared)
            squared = 0
