"""Whether the samples of a shard, read again, are those that its index was made of."""

from __future__ import annotations

from collections.abc import Container

import pyarrow as pa

from transforms.lib.addresses import without_secrets
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.outputs.store import Store
from transforms.rows import Shard

_IDENTITY = ("uid", "key", "offset", "length", "image_sha256")


def check(store: Store, shard: Shard, read: pa.Table, written: Container[str]) -> None:
    """Checks that samples are those of the index that an earlier job wrote, row by row.

    A tar that was exchanged for another of the same size, with the time of the first, has the same stamp.

    Args:
      store: of the index.
      shard: that was read.
      read: an index of what was read.
      written: column sets that are written now; where the index is one of them, there is nothing to compare.

    Raises:
      InputError: they are others.
    """
    if columns.INDEX in written:
        return
    stored = store.read(columns.INDEX, shard.name, list(_IDENTITY))
    if not stored.equals(read.select(_IDENTITY)):
        raise InputError(
            f"{without_secrets(shard.uri)} is not as it was when it was scored: its samples are not those of "
            "columns/index; put it back, or name another --output for what is there now"
        )
