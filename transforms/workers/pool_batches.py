"""Batches of a scored pool for training: rows of the column store, and their images where they are wanted."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import stamps, uids
from transforms.lib.arrays import Bool, Float64
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.samples import images
from transforms.lib.tar.shard_samples import read_samples
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import pool_files


class PoolBatch(NamedTuple):
    """A batch.

    Attributes:
      arrays: name -> array ``[batch, ...]`` of each column.
      images: encoded images, empty when they are not wanted.
    """

    arrays: dict[str, NDArray[Any]]
    images: list[bytes]


class Survey(NamedTuple):
    """What one pass over a pool counted.

    Attributes:
      counts: shard -> samples that can be trained on.
      mean: column -> mean.
      std: column -> standard deviation, of the whole pool (not of a sample of it).
      stamp: digest of the files that were read.
    """

    counts: dict[str, int]
    mean: dict[str, float]
    std: dict[str, float]
    stamp: str


@dataclasses.dataclass(frozen=True)
class PoolBatches:
    """A pool as batches in drawn order, the same for equal seeds, from any step on.

    Every epoch draws the order of the shards, reads a few of them at a time, and mixes their samples by a hash of uid,
    seed and epoch. Memory: the columns (and encoded images) of ``shards_at_once`` shards.

    Attributes:
      store: where the columns are.
      refs: the shards.
      where: name -> (column set, column) of what a batch holds.
      batch_size: samples per batch; fewer only where so many shards have no more.
      shards_at_once: whose samples are mixed with one another.
      seed: of every draw.
      with_images: also read the shards' images.
    """

    store: Store
    refs: Sequence[ShardRef]
    where: Mapping[str, tuple[str, str]]
    batch_size: int
    shards_at_once: int = 8
    seed: int = 0
    with_images: bool = False

    def survey(self, scores: Sequence[str] = ()) -> Survey:
        """Reads every shard's scores once.

        Mean and variance are merged shard by shard in float64 (Chan, Golub and LeVeque 1979), stable for any number.

        Args:
          scores: of ``where``; a sample without a finite value of each is left out, here and in every batch.

        Raises:
          InputError: fewer than two samples are left, or a column is constant.
        """
        counts: dict[str, int] = {}
        total, mean, squares = 0, np.zeros(len(scores)), np.zeros(len(scores))
        read = []
        for ref in sorted(self.refs):
            kept = self._scores(ref, scores)
            counts[ref.name] = len(kept)
            read += [self.store.facts(owner, ref.name).get("stamp") for owner in self._sets()]
            if len(kept):
                own = kept.mean(0)
                squares += ((kept - own) ** 2).sum(0) + (own - mean) ** 2 * total * len(kept) / (total + len(kept))
                total += len(kept)
                mean += (own - mean) * len(kept) / total
        std = np.sqrt(squares / max(1, total))
        problems = [f"--score {name} is the same for every sample; leave it out" for name in np.array(scores)[std == 0]]
        if total < 2:
            problems = [f"--pool: {total} of its samples can be trained on; it takes two or more"]
        if problems:
            raise InputError(problems)
        pairs = [dict(zip(scores, values.tolist(), strict=True)) for values in (mean, std)]
        return Survey(counts, pairs[0], pairs[1], stamps.stamp(files=read))

    def _sets(self) -> list[str]:
        return sorted({columns.INDEX, *(owner for owner, _ in self.where.values())})

    def _valid(self, ref: ShardRef, scores: Sequence[str]) -> tuple[Bool, dict[str, NDArray[Any]]]:
        wanted = {"status": (columns.INDEX, "status"), **{name: self.where[name] for name in scores}}
        arrays = self.store.arrays(ref.name, wanted)
        valid: Bool = arrays.pop("status") == columns.OK
        for values in arrays.values():
            valid = valid & np.isfinite(values)
        return valid, arrays

    def _scores(self, ref: ShardRef, scores: Sequence[str]) -> Float64:
        valid, arrays = self._valid(ref, scores)
        values = [arrays[name].astype(np.float64)[valid] for name in scores]
        return np.stack(values, 1) if values else np.zeros((int(valid.sum()), 0))

    def batches(self, survey: Survey, first: int = 0) -> Iterator[PoolBatch]:
        """Yields batch ``first`` and those after it, without end; shards of earlier ones are not read."""
        scores = list(survey.mean)
        step = 0
        for epoch in itertools.count():
            for group in self._groups(epoch):
                count = sum(survey.counts[ref.name] for ref in group)
                full = max(min(count, 1), count // self.batch_size)
                if step + full > first:
                    yield from self._cut(group, scores, epoch, range(max(0, first - step), full))
                step += full

    def _groups(self, epoch: int) -> list[list[ShardRef]]:
        def drawn(ref: ShardRef) -> bytes:
            return hashlib.sha256(f"{self.seed}\0{epoch}\0{ref.name}".encode()).digest()

        order = sorted(self.refs, key=drawn)
        return [order[at : at + self.shards_at_once] for at in range(0, len(order), self.shards_at_once)]

    def _cut(self, group: Sequence[ShardRef], scores: Sequence[str], epoch: int, numbers: range) -> Iterator[PoolBatch]:
        parts = [self._read(ref, scores) for ref in group]
        arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
        data = [image for part in parts for image in part.images]
        key = int(stamps.stamp(seed=self.seed, epoch=epoch), 16)
        order = np.argsort(uids.keyed_hash(arrays.pop("uid"), key), kind="stable")
        for number in numbers:
            rows = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield PoolBatch(
                {n: v[rows] for n, v in arrays.items()}, [data[row] for row in rows] if self.with_images else []
            )

    def _read(self, ref: ShardRef, scores: Sequence[str]) -> PoolBatch:
        valid, _ = self._valid(ref, scores)
        arrays = self.store.arrays(ref.name, {"uid": (columns.INDEX, "uid"), **self.where})
        chosen = {name: values[valid] for name, values in arrays.items()}
        return PoolBatch(chosen, self._images(ref, valid) if self.with_images else [])

    def _images(self, ref: ShardRef, valid: Bool) -> list[bytes]:
        with pool_files.open_shard(ref.uri) as tar:
            samples = read_samples(tar)
            encoded = [images.image_of(sample.members)[1] for sample, good in zip(samples, valid, strict=False) if good]
        if len(encoded) != valid.sum():
            raise InputError(f"--pool: {ref.uri} has changed since it was scored; score it again")
        return encoded
