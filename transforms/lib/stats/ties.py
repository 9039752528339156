"""The order of samples with equal values: by hash, then by shard and row, so that a cut between them is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Int64, UInt64

FIELDS: list[tuple[str, str]] = [("hash", "<u8"), ("shard", "<u8"), ("row", "<i8")]
DTYPE = np.dtype(FIELDS)
"""A sample's place among equals: hash of (seed, uid), digest of the shard's name, row. Records of it sort by field."""


def shard_key(shard: str) -> int:
    """Returns the first 8 bytes of the sha256 of a shard's name, little-endian."""
    return int.from_bytes(hashlib.sha256(shard.encode()).digest()[:8], "little")


def order(shard: str, rows: Int64, hashes: UInt64) -> NDArray[Any]:
    """Returns ``DTYPE`` ``[n]``: the places of rows of one shard, whose hashes are given."""
    places = np.empty(len(rows), DTYPE)
    places["hash"], places["shard"], places["row"] = hashes, shard_key(shard), rows
    return places


def before_all(hashes: UInt64) -> NDArray[Any]:
    """Returns ``DTYPE`` ``[n]``: places of remembered samples, before those of any shard that have an equal hash."""
    places = np.zeros(len(hashes), DTYPE)
    places["hash"], places["row"] = hashes, -1
    return places


def nth(records: NDArray[Any], number: int) -> tuple[Any, ...]:
    """Returns the ``number``-th smallest record, from 1, as Python values; records compare field by field."""
    assert records.dtype.names is not None
    ranked = np.lexsort([records[name] for name in reversed(records.dtype.names)])
    return tuple(records[ranked[number - 1]].item())


def at_or_before(records: NDArray[Any], last: Sequence[Any]) -> Bool:
    """Returns bool ``[n]``: records that stand before ``last`` or are it, compared field by field."""
    assert records.dtype.names is not None
    before = np.ones(len(records), bool)
    for name, value in zip(reversed(records.dtype.names), reversed(last), strict=True):
        column = records[name]
        bound = column.dtype.type(value)
        before = (column < bound) | ((column == bound) & before)
    return before
