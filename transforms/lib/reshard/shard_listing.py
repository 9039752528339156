"""The samples of an output shard, in its order: their keys there, and where the bytes of each are in the input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.lib.arrays import Int64


class ShardListing(NamedTuple):
    """The samples of an output shard, in its order; all arrays are ``[n]``.

    Attributes:
      keys: ``uid-copy``.
      sources: names and addresses of the input shards.
      source: int64, number of the input shard in ``sources``.
      offset: int64, first byte in it.
      length: int64, bytes.
      row: int64, number of the sample in the columns of the input shard.
      known: table ``[n]`` of what the index knows of them: the columns of ``identity.Indexed``; and of what the members
        are changed by: the scored caption as ``caption``, and what goes into the json, under the names of its fields
        behind a dot.
    """

    keys: list[str]
    sources: list[tuple[str, str]]
    source: Int64
    offset: Int64
    length: Int64
    row: Int64
    known: pa.Table

    def part(self, start: int, stop: int) -> ShardListing:
        """Returns some of the samples."""
        chosen = slice(start, stop)
        return self._replace(
            keys=self.keys[chosen],
            source=self.source[chosen],
            offset=self.offset[chosen],
            length=self.length[chosen],
            row=self.row[chosen],
            known=self.known.slice(start, stop - start),
        )


_NONE = np.zeros(0, np.int64)
NO_SAMPLES = ShardListing([], [], _NONE, _NONE, _NONE, _NONE, pa.table({}))
"""Of a shard without samples."""


def keys_of(names: list[str], copy: Int64) -> list[str]:
    """Returns ``uid-copy``; where two samples of the pool bear one uid, the next number that is free."""
    keys = [f"{uid}-{number}" for uid, number in zip(names, copy.tolist(), strict=True)]
    if len(set(keys)) == len(keys):
        return keys
    taken: set[str] = set()
    for row, (uid, number) in enumerate(zip(names, copy.tolist(), strict=True)):
        while (key := f"{uid}-{number}") in taken:
            number += 1
        taken.add(key)
        keys[row] = key
    return keys
