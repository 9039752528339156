"""Examples of rejected samples, for the lines at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transforms.lib.columnstore import columns
from transforms.outputs.store import Store

_LOOKED_INTO = 64  # shards; whoever wrote a pool gave the same names to the members of all its samples


def first_details(root: str, shards: Sequence[str], reasons: Iterable[str]) -> dict[str, str]:
    """Returns reason -> ``SHARD: DETAIL`` of the first sample that was rejected for it, of the first shards of a pool.

    Args:
      root: the output folder.
      shards: names of the pool's shards.
      reasons: to look for.
    """
    wanted, store = set(reasons), Store(root)
    found: dict[str, str] = {}
    for shard in shards[:_LOOKED_INTO]:
        if wanted <= found.keys():
            break
        table = store.read(columns.INDEX, shard, ["status", "detail"])
        for row in table.to_pylist():
            if row["status"] in wanted:
                found.setdefault(row["status"], f"{shard}: {row['detail']}")
    return found
