"""Write lists of uids: what a selection kept or dropped, and subset files made of other lists."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow.compute as pc

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.subsets import uid_lists
from transforms.lib.subsets.subset_files import UidRecords
from transforms.lib.subsets.uid_lists import UidList
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef
from transforms.storage import filesystem

_PIECE = 1 << 24


def write(parts: Iterable[UidRecords], uri: str) -> dict[str, int]:
    """Writes a subset file of sorted parts, each behind the one before it; returns its rows and distinct uids."""
    count = unique = 0
    with tempfile.TemporaryFile() as body:
        for rows in parts:
            body.write(np.ascontiguousarray(rows).data)
            count, unique = count + len(rows), unique + uid_lists.distinct(rows)
        body.seek(0)
        with filesystem.create_atomic(uri) as file:
            file.write(uids.subset_header(count))
            while piece := body.read(_PIECE):
                file.write(piece)
    return {"written": count, "distinct": unique}


def gather(refs: Sequence[ShardRef], store: Store, where: str, stack: contextlib.ExitStack) -> UidList:
    """Gathers uids by what was decided, a row group of a shard at a time.

    Args:
      refs: the shards of the pool, all decided.
      store: of index and decisions.
      where: ``kept`` (one uid per copy), ``dropped`` (by any step), ``rejected``, or the label of the step that
        dropped.
      stack: closes the temporary files.
    """
    gathered = UidList(stack)
    for ref in refs:
        decisions = store.read(DECISIONS, ref.name, ["copies", "step"])
        copies = decisions["copies"].to_numpy().astype(np.int64)
        step = decisions["step"]
        if where == "dropped":
            copies = (copies == 0) & pc.not_equal(step, "rejected").to_numpy()
        elif where != "kept":
            copies = pc.equal(step, where).to_numpy()
        if copies.any():
            column = store.read(columns.INDEX, ref.name, ["uid"])["uid"]
            named = pc.not_equal(column, "").to_numpy()
            gathered.add(np.repeat(columns.uid_pairs(column), copies * named, axis=0))
    return gathered


def join(input_: UidList, others: dict[str, list[UidList]], uri: str) -> dict[str, int]:
    """Writes ``input_`` joined with other lists, as ``uid_lists.joined`` joins them; returns counts."""
    parts = (
        uid_lists.joined(
            input_.part(part), **{name: [one.part(part) for one in lists] for name, lists in others.items()}
        )
        for part in range(uid_lists.PARTS)
    )
    return {"read": input_.count, **write(parts, uri)}
