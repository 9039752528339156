"""Deduplicate, the work on one part: the samples of all shards that meet there, and what becomes of them."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np
from apache_beam.metrics import Metrics

from transforms.lib.arrays import UInt64
from transforms.lib.dedup import groups, hamming, semdedup
from transforms.workers.dedup_data import DedupSettings
from transforms.workers.dedup_shard import Sent, send

Met = tuple[int, Iterable[bytes]]  # a part, and the packed rows that were sent to it


@dataclasses.dataclass(frozen=True)
class FindNear:
    """Returns the forest of near hashes that share a band.

    Attributes:
      settings: radius and parts.
    """

    settings: DedupSettings

    def __call__(self, met: Met) -> UInt64:
        part, blobs = met
        hashes = np.unique(np.frombuffer(b"".join(blobs), np.uint64))
        mask = hamming.bands(self.settings.radius)[part // self.settings.parts]
        return hamming.near(hashes, self.settings.radius, mask)


def repeated(met: tuple[int, Iterable[Sent]]) -> Iterator[Sent]:
    """Sends back to each shard those of its fingerprints that occur more than once."""
    shards, blobs = zip(*sorted(met[1]), strict=True)
    again = groups.repeated([np.frombuffer(blob, np.uint64) for blob in blobs])
    for number, some in zip(shards, again, strict=True):
        if len(some):
            Metrics.counter("dedup", "shuffled_bytes").inc(some.nbytes)
            yield number, some.tobytes()


@dataclasses.dataclass(frozen=True)
class DecideEqual:
    """Decides about the samples of equal identity that met, and sends each shard what becomes of its own.

    Attributes:
      settings: what makes samples equal, and who survives.
    """

    settings: DedupSettings

    def __call__(self, met: Met) -> Iterator[Sent]:
        settings = self.settings
        records = np.frombuffer(b"".join(met[1]), groups.RECORD)
        yield from send(*groups.groups(records, seed=settings.seed, fresh=settings.fresh, words=settings.words))


@dataclasses.dataclass(frozen=True)
class DecideSimilar:
    """Decides about the clusters of one part; embeddings wait in a temporary file, not in memory.

    Attributes:
      settings: epsilon, chains, and who survives.
      dim: of the embeddings.
    """

    settings: DedupSettings
    dim: int

    def __call__(self, met: Met) -> Iterator[Sent]:
        settings, kind = self.settings, semdedup.record_dtype(self.dim)
        places = []
        with tempfile.TemporaryFile() as file:
            for blob in met[1]:
                records = np.frombuffer(blob, kind)
                places.append(records[["cluster", *(field[0] for field in groups.PLACE)]].copy())
                file.write(semdedup.normalised_on_grid(records["vector"]).data)
            file.flush()
            samples = np.concatenate(places)
            vectors = np.memmap(file, np.float32, "r", shape=(len(samples), self.dim))
            verdicts = semdedup.clusters(
                samples,
                vectors,
                epsilon=settings.epsilon,
                chains=settings.chains,
                seed=settings.seed,
                fresh=settings.fresh,
            )
            del vectors
        yield from send(*verdicts)
