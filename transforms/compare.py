"""Compare two selections: of one pool sample by sample, of two pools by the uids that they keep."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.report.exhibit import Exhibit
from transforms.lib.stats.spread import Spread
from transforms.lib.subsets import subset_files, uid_lists
from transforms.outputs.selections import SUBSET, Selection
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef
from transforms.storage import filesystem

SHOWN = 12
"""Samples that are shown of each way."""
_SEED = 29  # of those that are drawn
KEPT, REJECTED = "kept", "rejected"


@dataclasses.dataclass
class Flows:
    """What became of each sample in two selections of one pool.

    Attributes:
      samples: (outcome in the one, in the other) -> samples; an outcome is kept, rejected, or the step that dropped.
      spreads: scores of what each keeps.
      drawn: ``added`` and ``removed`` -> samples that changed sides, drawn by their uids.
    """

    samples: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    spreads: tuple[Spread, Spread] = dataclasses.field(default_factory=lambda: (Spread(), Spread()))
    drawn: dict[str, list[Exhibit]] = dataclasses.field(default_factory=lambda: {"added": [], "removed": []})


class Side(NamedTuple):
    """One of the two that are compared.

    Attributes:
      name: as the user wrote it.
      selection: whose decisions they are.
      score: (column set, column) by which it decides; None where it has none.
    """

    name: str
    selection: Selection
    score: tuple[str, str] | None

    @property
    def store(self) -> Store:
        """The columns, and the decisions of the selection."""
        return Store(self.selection.root, self.selection.id)


def flows(before: Side, after: Side, refs: Sequence[ShardRef]) -> Flows:
    """Compares two selections of one pool; one shard at a time is in memory."""
    found = Flows()
    for ref in refs:
        _add(found, before, after, ref)
    return found


def _add(found: Flows, before: Side, after: Side, ref: ShardRef) -> None:
    sides = (before, after)
    decided = [side.store.arrays(ref.name, {n: (DECISIONS, n) for n in ("copies", "step", "margin")}) for side in sides]
    kept = [one["copies"] > 0 for one in decided]
    outcomes = [np.where(mask, KEPT, one["step"]) for mask, one in zip(kept, decided, strict=True)]
    pairs = np.stack([np.asarray(one, dtype=str) for one in outcomes], 1)
    names, counts = np.unique(pairs, axis=0, return_counts=True)
    for (one, other), count in zip(names.tolist(), counts.tolist(), strict=True):
        found.samples[one, other] += count
    index = before.store.arrays(ref.name, {"uid": (columns.INDEX, "uid")})["uid"]
    scores = [_scores(side, ref.name, len(index)) for side in sides]
    for number in (0, 1):
        found.spreads[number].add(scores[number][kept[number]])
    rank = uids.uniform(index, _SEED)
    for way, side, rows in (("added", 1, kept[1] & ~kept[0]), ("removed", 1, kept[0] & ~kept[1])):
        chosen = np.flatnonzero(rows)
        chosen = chosen[np.argsort(rank[chosen], kind="stable")][:SHOWN]
        hexes = uids.to_hex(index[chosen])
        fresh = [
            Exhibit(float(rank[row]), uid, ref.name, row, ref.uri, float(scores[side][row]),
                    float(decided[side]["margin"][row]), "" if kept[side][row] else str(decided[side]["step"][row]))
            for row, uid in zip(chosen.tolist(), hexes, strict=True)
        ]  # fmt: skip
        found.drawn[way] = sorted([*found.drawn[way], *fresh])[:SHOWN]


def _scores(side: Side, shard: str, rows: int) -> np.ndarray:
    """Returns the scores of a shard, float32 ``[n]``; NaN where there is no score."""
    if side.score is None:
        return np.full(rows, np.nan, np.float32)
    return np.asarray(side.store.arrays(shard, {"score": side.score})["score"], np.float32)


def spread_of(side: Side, refs: Sequence[ShardRef]) -> tuple[Spread, Spread]:
    """Returns the scores of all readable samples of a pool, and of those that a selection keeps."""
    every, kept = Spread(), Spread()
    for ref in refs if side.score else ():
        arrays = side.store.arrays(ref.name, {n: (DECISIONS, n) for n in ("copies", "step")})
        scores = _scores(side, ref.name, len(arrays["copies"]))
        every.add(scores[np.asarray(arrays["step"], dtype=str) != REJECTED])
        kept.add(scores[arrays["copies"] > 0])
    return every, kept


class Lists(NamedTuple):
    """Uids that two selections keep, each once.

    Attributes:
      counts: ``added``, ``removed``, ``unchanged`` -> uids.
      drawn: ``added`` and ``removed`` -> uids, 32 hex digits, drawn by their hash.
    """

    counts: dict[str, int]
    drawn: dict[str, list[str]]


def lists(before: Selection, after: Selection) -> Lists:
    """Compares the uids that two selections keep; a 256th of two lists at a time is in memory."""
    sides = [subset_files.open_subset(filesystem.fetch(one.uri(SUBSET))) for one in (before, after)]
    counts: Counter[str] = Counter({"added": 0, "removed": 0, "unchanged": 0})
    drawn: dict[str, list[tuple[float, str]]] = {"added": [], "removed": []}
    for old, new in zip(*map(uid_lists.ranges, sides), strict=True):
        ways = {"added": uid_lists.joined(new, subtract=[old]), "removed": uid_lists.joined(old, subtract=[new])}
        counts["unchanged"] += len(uid_lists.joined(new, intersect=[old]))
        for way, rows in ways.items():
            counts[way] += len(rows)
            pairs = np.stack([rows["f0"], rows["f1"]], 1)
            rank = uids.uniform(pairs, _SEED)
            chosen = np.argsort(rank, kind="stable")[:SHOWN]
            fresh = zip(rank[chosen].tolist(), uids.to_hex(pairs[chosen]), strict=True)
            drawn[way] = sorted([*drawn[way], *fresh])[:SHOWN]
    return Lists(dict(counts), {way: [uid for _, uid in ranked] for way, ranked in drawn.items()})


def exhibits(side: Side, places: dict[ShardRef, list[tuple[int, str]]]) -> list[Exhibit]:
    """Returns samples of one side as a report shows them, at their places in the pool."""
    found = []
    for ref, rows in places.items():
        numbers = [row for row, _ in rows]
        facts = side.store.rows(DECISIONS, ref.name, ["step", "margin"], numbers)
        scores = [float("nan")] * len(rows)
        if side.score:
            owner, column = side.score
            scores = [float(one[column]) for one in side.store.rows(owner, ref.name, [column], numbers)]
        for (row, uid), fact, score in zip(rows, facts, scores, strict=True):
            found.append(Exhibit(0.0, uid, ref.name, row, ref.uri, score, float(fact["margin"]), fact["step"]))
    return sorted(found)
