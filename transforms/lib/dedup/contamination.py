"""Samples of a pool that are near the embeddings of an evaluation set, and the list of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Float32, Float64, Int64, UInt64
from transforms.lib.clusters.vector_files import read_target
from transforms.lib.dedup import groups, semdedup
from transforms.lib.errors import InputError
from transforms.lib.stamps import sha256_of

FLAG = "--against_embeddings"

MATCHES = pa.schema(
    [
        pa.field("target", pa.int64(), False),  # row of the evaluation set, from 0
        pa.field("uid", pa.string(), False),
        pa.field("similarity", pa.float32(), False),  # cosine
        pa.field("shard", pa.string(), False),
        pa.field("row", pa.int64(), False),  # in tar order
        pa.field("key", pa.string(), False),
    ]
)


def read_targets(path: str, uri: str, sha256: str) -> Float32:
    """Reads the embeddings of an evaluation set, rounded as those of a pool are: to float16, then to the grid.

    Args:
      path: local file, as ``vector_files.read_target`` takes it.
      uri: what messages call it.
      sha256: that it had when the job began.

    Returns:
      float32 ``[m, dim]``.

    Raises:
      InputError: it cannot be used, or changed.
    """
    rows = read_target(path, uri, FLAG).astype(np.float16)
    unit = semdedup.unit_rows(rows)
    if not unit.all():
        raise InputError(f"{FLAG} {uri}: row {int(np.argmin(unit))} is no unit vector; leave it out")
    if sha256_of(path) != sha256:
        raise InputError(f"{FLAG} {uri} changed while the job ran; run it again")
    return semdedup.normalised_on_grid(rows)


def table(compared: Bool, target: Int64, cosine: Float64) -> pa.Table:
    """Returns the column set of one shard, of ``groups.SCHEMA``; a match is a copy of ``target-ROW``.

    Args:
      compared: bool ``[n]``.
      target: int64 ``[m]``, one for each compared sample; -1 when it matches none.
      cosine: float64 ``[m]``.
    """
    similarity = np.where(compared, np.float32(0), np.float32(np.nan))
    similarity[compared] = cosine
    name = np.full(len(compared), "", object)
    name[compared] = [f"target-{row}" if row >= 0 else "" for row in target.tolist()]
    text = pa.array(name, pa.string())
    return pa.Table.from_arrays([text, pa.array(similarity), text], schema=groups.SCHEMA)


def matches(
    shard: str,
    rows: Int64,
    pairs: UInt64,
    keys: NDArray[Any],
    target: Int64,
    cosine: Float64,
) -> pa.Table:
    """Returns the matches of one shard, a table of ``MATCHES``.

    Args:
      shard: its name.
      rows: int64 ``[m]``, the compared samples.
      pairs: uids of all samples, uint64 ``[n, 2]``.
      keys: of all samples, text ``[n]``.
      target: int64 ``[m]``, -1 for no match.
      cosine: float64 ``[m]``.
    """
    hit = target >= 0
    matched = rows[hit]
    listed = {"target": target[hit], "uid": uids.to_hex(pairs[matched]), "similarity": cosine[hit].astype(np.float32)}
    return pa.table({**listed, "shard": [shard] * len(matched), "row": matched, "key": keys[matched].tolist()}, MATCHES)


def packed(matches: pa.Table) -> bytes:
    """Returns a table as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, MATCHES) as writer:
        writer.write_table(matches)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def gathered(parts: Iterable[bytes]) -> pa.Table:
    """Returns one table of the matches of all shards, by target, the most similar first, then by uid, shard and row."""
    every = pa.concat_tables([MATCHES.empty_table(), *(pa.ipc.open_stream(part).read_all() for part in parts)])
    order = [("target", "ascending"), ("similarity", "descending")]
    return every.sort_by([*order, ("uid", "ascending"), ("shard", "ascending"), ("row", "ascending")])
