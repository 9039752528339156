"""Which samples are copies of which: who survives, by records of bounded size that stand for samples far away.

A sample's copies lie in any shard. What meets at one place is first a fingerprint, 8 bytes per sample; then, of samples
whose fingerprint occurs twice, a record that holds the whole identity. So nothing hangs on fingerprints being distinct.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Float32, UInt64
from transforms.lib.dedup import hamming
from transforms.lib.stats.quantiles import ordered_bits

Records = NDArray[Any]  # [n] of RECORD, or of another dtype with the fields of PLACE
Verdicts = NDArray[np.void]  # [n] of VERDICT

PLACE: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
    ("uid", "<u8", (2,)),
    ("order", "<u4"),  # the smaller survives
    ("shard", "<u4"),  # its number; those of an earlier pool come last
    ("row", "<u4"),
]
RECORD = np.dtype([("identity", "<u8", (4,)), *PLACE])
"""A sample that may have copies, 60 bytes: what makes it one, what decides whether it survives, where it is."""

VERDICT = np.dtype(
    [("row", "<u4"), ("dropped", "?"), ("similarity", "<f4"), ("keeper", "<u8", (2,)), ("group", "<u8", (2,))]
)
"""What becomes of one sample of a group of two or more, 41 bytes: the uid it is a copy of, and that of its group."""

SCHEMA = pa.schema(
    [
        pa.field("duplicate_of", pa.string(), False),  # uid of the sample that it is a copy of; empty when it is none
        pa.field("similarity", pa.float32(), False),  # to that sample, 0 when it is no copy; NaN when not compared
        pa.field("group", pa.string(), False),  # uid of the group's survivor, which has it too; empty when alone
    ]
)


def is_digest(texts: NDArray[np.object_]) -> Bool:
    """Tells which texts are sha256 digests, 64 hex digits; bool ``[n]``. That of an image nobody read is empty."""
    digest: Bool = pc.match_substring_regex(pa.array(texts, pa.string()), "^[0-9a-fA-F]{64}$").to_numpy(False)
    return digest


def identities(digests: NDArray[np.object_]) -> UInt64:
    """Returns uint64 ``[n, 4]`` of sha256 digests, 64 hex digits each."""
    return uids.pairs_of_digits("".join(digests)).reshape(-1, 4)


def fingerprints(identity: UInt64) -> UInt64:
    """Returns uint64 ``[n]``, equal for equal identities, uint64 ``[n, 4]``, and as good as random otherwise."""
    return uids.keyed_hash(uids.keyed_hash(identity[:, 2:], 0)[:, None] ^ identity[:, :2], 0)


def repeated(parts: Sequence[UInt64]) -> list[UInt64]:
    """Returns of each part, uint64 ``[n]``, the distinct values that occur more than once in all parts together."""
    ordered = np.sort(np.concatenate([np.zeros(0, np.uint64), *parts]))
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return [np.intersect1d(part, twice) for part in parts]


def order_of(values: Float32 | None, rows: int, *, largest_first: bool) -> NDArray[np.uint32]:
    """Returns the field ``order`` of records.

    Args:
      values: float32 ``[n]`` that decide who survives; None when only the hash of the uid does. NaN comes last.
      rows: ``n``.
      largest_first: the largest value survives.
    """
    if values is None:
        return np.zeros(rows, np.uint32)
    missing = np.isnan(values)
    bits = ordered_bits(np.where(missing, np.float32(0), values))
    return np.where(missing, np.uint32(0xFFFFFFFF), ~bits if largest_first else bits)


def ranking(records: Records, seed: int, fresh: int, *more: NDArray[Any]) -> NDArray[np.intp]:
    """Returns the order of records in which the first of a group survives.

    Samples of an earlier pool come first; then the smaller ``order``; then the smaller hash of (seed, uid); then uid,
    shard and row, so that no tie is left.

    Args:
      records: with the fields of ``PLACE``.
      seed: of the hash.
      fresh: shards from this number on belong to an earlier pool.
      more: keys that count before all these, the most important last, as for ``numpy.lexsort``.
    """
    uid = records["uid"]
    keys = (records["row"], records["shard"], uid[:, 1], uid[:, 0], uids.keyed_hash(uid, seed), records["order"])
    return np.lexsort((*keys, records["shard"] < fresh, *more))


def groups(records: Records, *, seed: int, fresh: int, words: int = 4) -> tuple[NDArray[np.uint32], Verdicts]:
    """Decides about samples that have the same identity: the first by ``ranking`` survives, the others are its copies.

    Args:
      records: ``RECORD`` ``[n]``; all samples of an identity, or none.
      seed: of ``ranking``.
      fresh: of ``ranking``; samples of an earlier pool get no verdict.
      words: of the identity that must be equal; 1 when the second is a hash of 64 bits that need only be near.

    Returns:
      shard numbers, uint32 ``[m]``, and ``VERDICT`` ``[m]``: those of the samples in groups of two or more. The
      similarity is 1, or with ``words`` 1 the share of equal bits of the two hashes.
    """
    identity = records["identity"]
    order = ranking(records, seed, fresh, *(identity[:, word] for word in range(words)))
    records, identity = records[order], identity[order]
    starts = np.append(True, (identity[1:, :words] != identity[:-1, :words]).any(axis=1))[: len(records)]
    sizes = np.diff(np.append(np.flatnonzero(starts), len(records)))
    first = np.repeat(np.flatnonzero(starts), sizes)
    chosen = np.repeat(sizes > 1, sizes) & (records["shard"] < fresh)
    similarity = np.ones(len(records))
    if words == 1:
        similarity -= hamming.distance(identity[:, 1], identity[first, 1]) / hamming.BITS
    uid = records["uid"]
    decided = verdicts(records["row"], ~starts, similarity, uid[first], uid[first])
    return records["shard"][chosen], decided[chosen]


def verdicts(row: NDArray[Any], dropped: Bool, similarity: NDArray[Any], keeper: UInt64, group: UInt64) -> Verdicts:
    """Returns ``VERDICT`` ``[n]`` of its fields; a survivor is no copy and has similarity 0.

    Rows on the grid of ``semdedup`` are of norm 1 up to rounding, so that the exact cosine of a row with itself may
    be above 1 by some 2**-18; it was compared as it is, and is told as 1.
    """
    records = np.zeros(len(row), VERDICT)
    records["row"], records["dropped"], records["group"] = row, dropped, group
    records["keeper"] = np.where(dropped[:, None], keeper, np.uint64(0))
    records["similarity"] = np.where(dropped, np.clip(similarity, -1, 1), 0)
    return records


def by_number(numbers: NDArray[np.integer[Any]], rows: NDArray[Any]) -> dict[int, NDArray[Any]]:
    """Returns number -> its rows, in the order they have; int ``[n]`` and ``[n]``."""
    order = np.argsort(numbers, kind="stable")
    distinct, starts = np.unique(numbers[order], return_index=True)
    return dict(zip(distinct.tolist(), np.split(rows[order], starts[1:]), strict=False))


def table(compared: Bool, decided: Verdicts) -> pa.Table:
    """Returns the column set of one shard.

    Args:
      compared: bool ``[n]``; False for a sample that could not be compared, which gets NaN.
      decided: ``VERDICT``, any order; rows without one are alone.
    """
    similarity = np.where(compared, np.float32(0), np.float32(np.nan))
    similarity[decided["row"]] = decided["similarity"]
    duplicate_of = np.full(len(compared), "", object)
    group = np.full(len(compared), "", object)
    dropped = decided[decided["dropped"]]
    duplicate_of[dropped["row"]] = uids.to_hex(dropped["keeper"])
    group[decided["row"]] = uids.to_hex(decided["group"])
    arrays = [pa.array(duplicate_of, pa.string()), pa.array(similarity), pa.array(group, pa.string())]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def counts(table: pa.Table) -> dict[str, int]:
    """Returns how many samples of a table were compared, are copies, and survive as the first of a group."""
    compared = int(np.isfinite(table["similarity"].to_numpy()).sum())
    copies = int((table["duplicate_of"].to_numpy() != "").sum())
    survivors = int((table["group"].to_numpy() != "").sum()) - copies
    return {"samples": len(table), "compared": compared, "duplicates": copies, "survivors": survivors}


def add_counts(counted: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Adds counts."""
    return {name: sum(one[name] for one in counted) for name in ("samples", "compared", "duplicates", "survivors")}
