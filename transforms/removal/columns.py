"""Blank the rows of samples in the column sets of one input shard, and take them out of its decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import stamps
from transforms.lib.arrays import Bool, Int64
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.blank import blanked
from transforms.lib.errors import Reason
from transforms.outputs import stored_files
from transforms.outputs.store import DECISIONS, Store
from transforms.removal.lists import rewrite

Delta = dict[str, Any]
"""What books lose: ``kept``, ``copies``, ``dropped`` by step, ``rejected`` by reason; and ``samples`` that go."""


def mask_of(rows: Int64, count: int) -> Bool:
    """Returns bool ``[count]`` that is true in some rows."""
    mask = np.zeros(count, np.bool_)
    mask[rows] = True
    return mask


def blank(store: Store, shard: str, rows: Int64, sets: Sequence[str]) -> None:
    """Blanks rows of the column sets of a shard; the index goes last, since it names the samples."""
    for column_set in sorted(sets, key=lambda name: name == columns.INDEX):
        table = store.read(column_set, shard)
        rewrite(store, column_set, shard, blanked(table, mask_of(rows, len(table))))


def delta_of(store: Store, shard: str, rows: Int64) -> Delta:
    """Returns what the books of a selection lose when samples of a shard go; before its rows are blanked."""
    decisions = store.read(DECISIONS, shard).take(rows)
    status = store.read(columns.INDEX, shard, ["status"])["status"].take(rows).to_pylist()
    copies, steps = decisions["copies"].to_pylist(), decisions["step"].to_pylist()
    reasons = [
        Reason.SCORE_NOT_FINITE.value if one == columns.OK else one
        for one, step in zip(status, steps, strict=True)
        if step == "rejected"
    ]
    return {
        "samples": len(rows),
        "kept": sum(map(bool, copies)),
        "copies": sum(copies),
        "dropped": dict(Counter(step for step in steps if step not in ("", "rejected"))),
        "rejected": dict(Counter(reasons)),
    }


def add(one: Delta, other: Delta) -> Delta:
    """Returns the sum of two losses."""
    counts = {name: one[name] + other[name] for name in ("samples", "kept", "copies")}
    return counts | {name: dict(Counter(one[name]) + Counter(other[name])) for name in ("dropped", "rejected")}


NOTHING: Delta = {"samples": 0, "kept": 0, "copies": 0, "dropped": {}, "rejected": {}}


def decide(store: Store, shard: str, rows: Int64, takedown: str) -> None:
    """Rejects rows in the decisions of a shard, and notes the files that these are about, as they are now.

    ``winnow explain`` replays decisions by the stamp that they had when they were made: the fact ``decided``.
    """
    facts = store.facts(DECISIONS, shard)
    table = store.read(DECISIONS, shard)
    seals = store.seals(shard, stored_files.sources_of(facts))
    changed = stored_files.made_from(seals) if facts.get("made_from") else {}
    if len(rows):
        mask = pa.array(mask_of(rows, len(table)))
        fill = {
            "copies": pa.scalar(0, pa.uint16()),
            "step": pa.scalar("rejected"),
            "margin": pa.scalar(np.nan, pa.float32()),
        }
        arrays = [pc.if_else(mask, fill[name], table[name]) for name in columns.DECISIONS_SCHEMA.names]
        table = pa.Table.from_arrays(arrays, schema=columns.DECISIONS_SCHEMA)
        takedowns = sorted({*filter(None, facts.get("takedowns", "").split(",")), takedown})
        decided = facts.get("decided", facts["stamp"])
        changed |= {"decided": decided, "takedowns": ",".join(takedowns)}
        changed["stamp"] = stamps.stamp(decided=decided, takedowns=takedowns)
        if "copies" in facts:
            changed["copies"] = str(pc.sum(table["copies"]).as_py() or 0)
    rewrite(store, DECISIONS, shard, table, **changed)
