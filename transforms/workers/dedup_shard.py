"""Deduplicate, seen from one shard: what it sends to meet its like, and the column set it gets back."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms.lib import stamps, uids
from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.dedup import components, groups, hamming, semdedup
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.workers.shard_log import logged

VERSION = 2  # raise when the same columns would give other duplicates
_LOG = logging.getLogger(__name__)

Numbered = tuple[int, ShardRef]  # a shard and its number
Sent = tuple[int, bytes]  # a part, or a shard's number, and packed rows for it
_COUNTS = ("samples", "compared", "duplicates", "survivors")


@dataclasses.dataclass(frozen=True)
class DedupSettings:
    """Everything deduplication needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set that is written.
      by: ``exact``, ``uid``, ``phash`` or ``semantic``.
      fresh: shards of the pool; they have the numbers below it, those of the earlier pool come after.
      parts: places at which samples of all shards meet.
      earlier: output folder of the earlier pool; empty for none.
      order: ``hard``, ``easy``, ``random`` or ``best``.
      score: (column set, column) of ``best``; None otherwise.
      seed: of ties.
      radius: of ``phash``.
      epsilon: of ``semantic``.
      chains: of ``semantic``.
      clusters: column set with ``cluster`` and ``similarity``.
      embedding: (column set, column) of the embeddings.
      stamp: of what is made, a function of everything above but addresses, and of the stamps of all columns read.
    """

    root: str
    name: str
    by: str
    fresh: int
    parts: int = 1
    earlier: str = ""
    order: str = "random"
    score: tuple[str, str] | None = None
    seed: int = 0
    radius: int = 2
    epsilon: float = 0.07
    chains: str = "released"
    clusters: str = ""
    embedding: tuple[str, str] = ("", "")
    stamp: str = ""

    @property
    def words(self) -> int:
        """Words of an identity that make two samples copies."""
        return 1 if self.by == "phash" else 4

    def store(self, number: int) -> Store:
        """Returns the store that has the columns of a shard."""
        return Store(self.root if number < self.fresh else self.earlier)

    def reads(self) -> tuple[str, ...]:
        """Returns the column sets that are read of every shard."""
        return (columns.INDEX, *((self.clusters, self.embedding[0]) if self.by == "semantic" else ()))

    def stamped(self, inputs: list[str]) -> DedupSettings:
        """Returns the settings with the stamp of what they make from inputs of these stamps."""
        values = dataclasses.asdict(self)
        for name in ("root", "earlier", "stamp"):
            del values[name]
        return dataclasses.replace(self, stamp=stamps.stamp(version=VERSION, inputs=inputs, **values))

    def inputs_of(self, number: int, ref: ShardRef) -> list[str]:
        """Returns the stamps of the column sets that are read of a shard."""
        sets = dict.fromkeys([*self.reads(), *((self.score[0],) if self.score and number < self.fresh else ())])
        return [self.store(number).facts(name, ref.name).get("stamp", "") for name in sets]

    def finished(self, ref: ShardRef) -> dict[str, int] | None:
        """Returns the counts of a shard that is done; None when its columns are absent or made from something else."""
        facts = Store(self.root).facts(self.name, ref.name)
        return {name: int(facts[name]) for name in _COUNTS} if facts.get("stamp") == self.stamp else None


@dataclasses.dataclass(frozen=True)
class _Samples:
    """The samples of one shard that can be compared, and their columns, row-aligned with ``rows``."""

    rows: Int64
    columns: Mapping[str, NDArray[Any]]

    def take(self, chosen: Bool | Int64) -> _Samples:
        return _Samples(self.rows[chosen], {name: values[chosen] for name, values in self.columns.items()})


_IDENTITY = {"exact": ("image_sha256",), "uid": ("uid",), "phash": ("phash", "width")}
"""Columns of the index that make two samples copies, and that tell whether a sample has them."""


def _has_identity(arrays: Mapping[str, NDArray[Any]], by: str) -> Bool:
    """Tells which samples can be copies at all, bool ``[n]``.

    A sample whose image nobody read, as in imported metadata, has a sha256 only if the metadata says so, and no
    perceptual hash. The column ``phash`` is 0 then, as for a black image; the width is 0 for the former alone.
    """
    ok: Bool = arrays["status"] == columns.OK
    if by == "exact":
        return ok & groups.is_digest(arrays["image_sha256"])
    return ok & (arrays["width"] > 0) if by == "phash" else ok


def count_identities(store: Store, ref: ShardRef, by: str) -> tuple[int, int]:
    """Returns how many samples of a shard are not rejected, and how many of them can be copies; not ``semantic``."""
    wanted = {name: (columns.INDEX, name) for name in ("status", *_IDENTITY[by])}
    arrays = store.arrays(ref.name, wanted)
    return int((arrays["status"] == columns.OK).sum()), int(_has_identity(arrays, by).sum())


def _read(numbered: Numbered, settings: DedupSettings, wanted: Mapping[str, tuple[str, str]]) -> _Samples:
    number, ref = numbered
    more = {"winnow order": settings.score} if settings.score and number < settings.fresh else {}
    named = {name: (columns.INDEX, name) for name in ("status", *_IDENTITY.get(settings.by, ()))}
    arrays = settings.store(number).arrays(ref.name, {**named, **wanted, **more})
    return _Samples(np.arange(len(arrays["status"])), arrays).take(_has_identity(arrays, settings.by))


def _place(records: NDArray[Any], number: int, samples: _Samples, settings: DedupSettings) -> NDArray[Any]:
    """Fills in the fields of ``dedup.PLACE``."""
    values = samples.columns.get("winnow order")
    largest_first = settings.order in ("best", "easy")
    if settings.order in ("hard", "easy"):
        values = samples.columns["similarity"]
    records["uid"], records["shard"], records["row"] = samples.columns["uid"], number, samples.rows
    records["order"] = groups.order_of(values, len(records), largest_first=largest_first)
    return records


def send(to: NDArray[np.integer[Any]], rows: NDArray[Any]) -> Iterator[Sent]:
    """Packs rows by the part or shard that they go to, int ``[n]``, and counts their bytes."""
    for number, some in groups.by_number(to, rows).items():
        Metrics.counter("dedup", "shuffled_bytes").inc(some.nbytes)
        yield number, some.tobytes()


def send_bands(numbered: Numbered, settings: DedupSettings) -> Iterator[Sent]:
    """Sends each perceptual hash of a shard once a band, to where those with the same band meet."""
    found = np.unique(_read(numbered, settings, {}).columns["phash"])
    for band, mask in enumerate(hamming.bands(settings.radius)):
        block = uids.stream(found & np.uint64(mask), 0) % np.uint64(settings.parts)
        yield from send(block.astype(np.int64) + band * settings.parts, found)


def near_hashes(sent: tuple[int, Iterable[bytes]], settings: DedupSettings) -> UInt64:
    """Returns the forest of near hashes that share a band."""
    part, blobs = sent
    hashes = np.unique(np.frombuffer(b"".join(blobs), np.uint64))
    mask = hamming.bands(settings.radius)[part // settings.parts]
    return hamming.near(hashes, settings.radius, mask)


def _identified(numbered: Numbered, trees: UInt64, settings: DedupSettings) -> tuple[_Samples, UInt64]:
    """Returns the samples of a shard that have an identity, and these: uint64 ``[n, 4]``."""
    samples = _read(numbered, settings, {"uid": (columns.INDEX, "uid")})
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


def send_fingerprints(numbered: Numbered, trees: UInt64, settings: DedupSettings) -> Iterator[tuple[int, Sent]]:
    """Sends 8 bytes a sample to where equal ones meet; ``trees`` joins near hashes."""
    found = _fingerprints(_identified(numbered, trees, settings)[1], settings)
    for part, some in send(_part_of(found, settings), found):
        yield part, (numbered[0], some)


def repeated(sent: tuple[int, Iterable[Sent]]) -> Iterator[Sent]:
    """Sends back to each shard those of its fingerprints that occur more than once."""
    shards, blobs = zip(*sorted(sent[1]), strict=True)
    found = groups.repeated([np.frombuffer(blob, np.uint64) for blob in blobs])
    for number, some in zip(shards, found, strict=True):
        if len(some):
            Metrics.counter("dedup", "shuffled_bytes").inc(some.nbytes)
            yield number, some.tobytes()


def send_records(
    joined: tuple[int, Mapping[str, Iterable[Any]]], trees: UInt64, settings: DedupSettings
) -> Iterator[Sent]:
    """Sends a record of each sample whose fingerprint occurs more than once."""
    number, found = joined
    wanted = np.frombuffer(b"".join(found["sent"]), np.uint64)
    for ref in found["ref"]:
        samples, identity = _identified((number, ref), trees, settings)
        prints = _fingerprints(identity, settings)
        chosen = np.isin(prints, wanted)
        records = np.zeros(int(chosen.sum()), groups.RECORD)
        records["identity"] = identity[chosen]
        yield from send(_part_of(prints[chosen], settings), _place(records, number, samples.take(chosen), settings))


def decide(sent: tuple[int, Iterable[bytes]], settings: DedupSettings) -> Iterator[Sent]:
    """Decides about the samples that met, and sends each shard what becomes of its own."""
    records = np.frombuffer(b"".join(sent[1]), groups.RECORD)
    made = groups.groups(records, seed=settings.seed, fresh=settings.fresh, words=settings.words)
    yield from send(*made)


def _wanted_vectors(settings: DedupSettings) -> dict[str, tuple[str, str]]:
    more = {name: (settings.clusters, name) for name in ("cluster", "similarity")}
    return {"uid": (columns.INDEX, "uid"), "vector": settings.embedding, **more}


def _comparable(samples: _Samples) -> Bool:
    inside = (samples.columns["cluster"] >= 0) & np.isfinite(samples.columns["similarity"])
    return inside & semdedup.unit_rows(samples.columns["vector"])


def send_vectors(numbered: Numbered, settings: DedupSettings) -> Iterator[Sent]:
    """Sends the embedding of each sample to where its cluster meets."""
    samples = _read(numbered, settings, _wanted_vectors(settings))
    samples = samples.take(_comparable(samples))
    vectors = samples.columns["vector"]
    records = np.zeros(len(samples.rows), semdedup.record_dtype(vectors.shape[1]))
    records["cluster"], records["vector"] = samples.columns["cluster"], vectors
    order = np.argsort(records["cluster"], kind="stable")
    records = _place(records, numbered[0], samples, settings)[order]
    yield from send(records["cluster"] % settings.parts, records)


def write(
    joined: tuple[int, Mapping[str, Iterable[Any]]], settings: DedupSettings
) -> Iterator[tuple[FileRow, dict[str, int]]]:
    """Writes the column set of a shard from the verdicts on its samples."""
    number, found = joined
    decided = np.frombuffer(b"".join(found["sent"]), groups.VERDICT)
    for ref in found["ref"]:
        with logged(_LOG, "deduplicate", ref.name) as outcome:
            compared = np.zeros(len(Store(settings.root).valid(ref.name)), bool)
            samples = _read((number, ref), settings, _wanted_vectors(settings) if settings.by == "semantic" else {})
            compared[samples.rows] = _comparable(samples) if settings.by == "semantic" else True
            written = put(ref, groups.table(compared, decided), settings.root, settings.name, settings.stamp)
            outcome.samples = len(compared)
        yield written


def put(ref: ShardRef, table: pa.Table, root: str, name: str, stamp: str) -> tuple[FileRow, dict[str, int]]:
    """Writes a shard's table with its counts beside it."""
    counted = groups.counts(table)
    Metrics.counter("dedup", "in").inc(counted["samples"])
    Metrics.counter("dedup", "duplicates").inc(counted["duplicates"])
    facts = {key: str(value) for key, value in counted.items()}
    return Store(root).write(name, ref.name, table, stamp, job="dedup", uri=ref.uri, **facts), counted
