"""Deduplicate, the work on one shard: what it sends to the parts where samples meet, and the columns it gets back."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.dedup import components, groups, hamming, semdedup
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.workers.dedup_data import DedupSettings as DedupSettings
from transforms.workers.dedup_data import Numbered as Numbered
from transforms.workers.dedup_data import Samples, place, read
from transforms.workers.dedup_data import count_identities as count_identities
from transforms.workers.shard_work import logged

Sent = tuple[int, bytes]  # a part, or a shard's number, and packed rows for it
Joined = tuple[int, Mapping[str, Iterable[Any]]]  # a shard's number, and what was sent to it beside its ``ref``
_LOG = logging.getLogger(__name__)


def send(to: NDArray[np.integer[Any]], rows: NDArray[Any]) -> Iterator[Sent]:
    """Packs rows by the part or shard that they go to, int ``[n]``, and counts their bytes."""
    for number, some in groups.by_number(to, rows).items():
        Metrics.counter("dedup", "shuffled_bytes").inc(some.nbytes)
        yield number, some.tobytes()


@dataclasses.dataclass(frozen=True)
class SendBands:
    """Sends each perceptual hash of a shard once per band, to the part where those with the same band meet.

    Attributes:
      settings: radius and parts, and where the columns are.
    """

    settings: DedupSettings

    def __call__(self, numbered: Numbered) -> Iterator[Sent]:
        settings = self.settings
        hashes = np.unique(read(numbered, settings, {}).columns["phash"])
        for band, mask in enumerate(hamming.bands(settings.radius)):
            block = uids.stream(hashes & np.uint64(mask), 0) % np.uint64(settings.parts)
            yield from send(block.astype(np.int64) + band * settings.parts, hashes)


def _identified(numbered: Numbered, trees: UInt64, settings: DedupSettings) -> tuple[Samples, UInt64]:
    """Returns the samples of a shard that have an identity, and these: uint64 ``[n, 4]``."""
    samples = read(numbered, settings, {"uid": (columns.INDEX, "uid")})
    if settings.by == "exact":
        return samples, groups.identities(samples.columns["image_sha256"])
    identity = np.zeros((len(samples.rows), 4), np.uint64)
    if settings.by == "uid":
        identity[:, :2] = samples.columns["uid"]
    else:
        hashes = samples.columns["phash"]
        identity[:, 0], identity[:, 1] = components.roots(hashes, trees), hashes
    return samples, identity


def _fingerprints(identity: UInt64, settings: DedupSettings) -> UInt64:
    return groups.fingerprints(np.where(np.arange(4) < settings.words, identity, np.uint64(0)))


def _part_of(fingerprints: UInt64, settings: DedupSettings) -> Int64:
    return (fingerprints % np.uint64(settings.parts)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class SendFingerprints:
    """Sends 8 bytes per sample of a shard to the part where equal ones meet; ``trees`` joins near hashes.

    Attributes:
      settings: what makes samples equal, and where the columns are.
    """

    settings: DedupSettings

    def __call__(self, numbered: Numbered, trees: UInt64) -> Iterator[tuple[int, Sent]]:
        prints = _fingerprints(_identified(numbered, trees, self.settings)[1], self.settings)
        for part, some in send(_part_of(prints, self.settings), prints):
            yield part, (numbered[0], some)


@dataclasses.dataclass(frozen=True)
class SendRecords:
    """Sends a record of each sample of a shard whose fingerprint occurs more than once; ``trees`` joins near hashes.

    Attributes:
      settings: what makes samples equal, who survives, and where the columns are.
    """

    settings: DedupSettings

    def __call__(self, joined: Joined, trees: UInt64) -> Iterator[Sent]:
        number, values = joined
        repeated = np.frombuffer(b"".join(values["sent"]), np.uint64)
        for ref in values["ref"]:
            samples, identity = _identified((number, ref), trees, self.settings)
            prints = _fingerprints(identity, self.settings)
            chosen = np.isin(prints, repeated)
            records = np.zeros(int(chosen.sum()), groups.RECORD)
            records["identity"] = identity[chosen]
            placed = place(records, number, samples.take(chosen), self.settings)
            yield from send(_part_of(prints[chosen], self.settings), placed)


def _wanted_vectors(settings: DedupSettings) -> dict[str, tuple[str, str]]:
    more = {name: (settings.clusters, name) for name in ("cluster", "similarity")}
    return {"uid": (columns.INDEX, "uid"), "vector": settings.embedding, **more}


def _comparable(samples: Samples) -> Bool:
    inside: Bool = (samples.columns["cluster"] >= 0) & np.isfinite(samples.columns["similarity"])
    return np.logical_and(inside, semdedup.unit_rows(samples.columns["vector"]))


@dataclasses.dataclass(frozen=True)
class SendVectors:
    """Sends the embedding of each sample of a shard to the part where its cluster meets.

    Attributes:
      settings: clusters and embeddings, and where the columns are.
    """

    settings: DedupSettings

    def __call__(self, numbered: Numbered) -> Iterator[Sent]:
        samples = read(numbered, self.settings, _wanted_vectors(self.settings))
        samples = samples.take(_comparable(samples))
        vectors = samples.columns["vector"]
        records = np.zeros(len(samples.rows), semdedup.record_dtype(vectors.shape[1]))
        records["cluster"], records["vector"] = samples.columns["cluster"], vectors
        order = np.argsort(records["cluster"], kind="stable")
        records = place(records, numbered[0], samples, self.settings)[order]
        yield from send(records["cluster"] % self.settings.parts, records)


@dataclasses.dataclass(frozen=True)
class WriteDuplicates:
    """Writes the column set of a shard from the verdicts on its samples.

    Attributes:
      settings: where to write.
    """

    settings: DedupSettings

    def __call__(self, joined: Joined) -> Iterator[tuple[FileRow, dict[str, int]]]:
        number, values = joined
        verdicts = np.frombuffer(b"".join(values["sent"]), groups.VERDICT)
        for ref in values["ref"]:
            with logged(_LOG, "deduplicate", ref.name) as outcome:
                compared = self._compared((number, ref))
                outcome.samples = len(compared)
                settings = self.settings
                written = put(ref, groups.table(compared, verdicts), settings.root, settings.name, settings.stamp)
            yield written

    def _compared(self, numbered: Numbered) -> Bool:
        """Tells which samples of a shard were compared with others, bool ``[n]``."""
        settings, semantic = self.settings, self.settings.by == "semantic"
        compared = np.zeros(len(Store(settings.root).valid(numbered[1].name)), np.bool_)
        samples = read(numbered, settings, _wanted_vectors(settings) if semantic else {})
        compared[samples.rows] = _comparable(samples) if semantic else True
        return compared


def put(ref: ShardRef, table: pa.Table, root: str, name: str, stamp: str) -> tuple[FileRow, dict[str, int]]:
    """Writes a shard's table with its counts beside it."""
    counted = groups.counts(table)
    Metrics.counter("dedup", "in").inc(counted["samples"])
    Metrics.counter("dedup", "duplicates").inc(counted["duplicates"])
    facts = {key: str(value) for key, value in counted.items()}
    return Store(root).write(name, ref.name, table, stamp, job="dedup", uri=ref.uri, **facts), counted
