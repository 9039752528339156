"""Explain samples: find their rows by uid, replay the recipe over their shards, and read what was recorded."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import uid_rule
from transforms.lib.columnstore import columns
from transforms.lib.errors import AccountsError, InputError
from transforms.lib.recipes import explain
from transforms.outputs import ledger, takedowns
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef
from transforms.workers.decide_shard import DecideShard, SelectSettings, SolvedStates

_TOGETHER = 2  # shards that are searched at once; each holds a row group of uids, or the uids of a metadata file's

Places = dict[ShardRef, list[tuple[int, str]]]


def find(refs: Sequence[ShardRef], root: str, wanted: Mapping[str, str]) -> Places:
    """Finds samples, reading uids alone, shard after shard, until each was found.

    Args:
      refs: the shards of the pool.
      root: the output folder.
      wanted: uid, 32 lower-case hex digits -> as the user wrote it, for the message.

    Returns:
      shard -> (row, uid) of the samples in it, in the order of the pool; a uid that is repeated has the rows in the
      shards that were read.

    Raises:
      InputError: uids that no sample has; all of them.
    """
    places: Places = {}
    lacking = set(wanted)
    values = pa.array(sorted(lacking), pa.string())
    with ThreadPoolExecutor(_TOGETHER) as pool:
        every = iter(refs)
        while some := list(itertools.islice(every, _TOGETHER)):
            for ref, rows in zip(some, pool.map(lambda ref: _rows(ref, root, values), some), strict=True):
                if rows:
                    places[ref] = rows
                lacking -= {uid for _, uid in rows}
            if not lacking:
                return places
    shown = [uid if uid_rule.is_uid(wanted[uid]) else repr(wanted[uid]) for uid in sorted(lacking)]
    gone = takedowns.of_uids(root, lacking)
    hint = "`columns/index` lists those that there are"
    whys = [f"it was taken down on {gone[uid]}" if uid in gone else hint for uid in sorted(lacking)]
    lines = zip(shown, whys, strict=True)
    raise InputError([f"no sample of this pool has the uid {uid}; {why}" for uid, why in lines])


def _rows(ref: ShardRef, root: str, values: pa.Array) -> list[tuple[int, str]]:
    rows: list[tuple[int, str]] = []
    start = 0
    for table in Store(root).groups(columns.INDEX, ref.name, ["uid"]):
        hits = np.flatnonzero(pc.is_in(table["uid"], value_set=values).to_numpy())
        rows += zip((start + hits).tolist(), table["uid"].take(hits).to_pylist(), strict=True)
        start += len(table)
    return rows


def copies_of(places: Places, root: str, suffix: str) -> dict[tuple[str, int], list[str]]:
    """Finds where the copies of samples are in the output.

    Args:
      places: of the samples in the pool.
      root: the output folder.
      suffix: of output shards.

    Returns:
      (shard, row) in the pool -> ``shards/NAME:POSITION KEY`` of each copy, in the order of the output.
    """
    found: dict[tuple[str, int], list[str]] = {(ref.name, row): [] for ref, rows in places.items() for row, _ in rows}
    for sample, number, position, key in ledger.places(root, found):
        found[sample].append(f"shards/{number:08d}{suffix}:{position} {key}")
    return found


@dataclasses.dataclass(frozen=True)
class ExplainShard:
    """Explains samples of one shard.

    Attributes:
      settings: how they were decided.
      states: solved, of each step.
    """

    settings: SelectSettings
    states: tuple[Any, ...]

    def __call__(self, ref: ShardRef, places: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
        """Returns one explanation per place, as JSON values.

        Raises:
          InputError: columns or decisions are not those of the last selection.
          AccountsError: the replay decides otherwise than was recorded.
        """
        with self.settings.store.held() as store:
            return self._explained(store, ref, places)

    def _explained(self, store: Store, ref: ShardRef, places: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
        decide = DecideShard(self.settings)
        ways = (SolvedStates.of(self.states, formerly=formerly) for formerly in (False, True))
        stamps = {decide.stamp(store, ref, states) for states in ways}
        written = store.facts(DECISIONS, ref.name)
        if written.get("decided", written.get("stamp")) not in stamps:  # a takedown stamps them anew
            raise InputError(f"the columns of shard {ref.name} changed since it was decided; run `winnow select` again")
        rows = [row for row, _ in places]
        names = self.settings.recipe.inputs()
        block = self.settings.reader.of(store).block(ref, names)
        judged = explain.judge(self.settings.recipe.steps, self.states, block, rows)
        index = store.rows(columns.INDEX, ref.name, ["key", "caption", "status", "detail"], rows)
        decided = store.rows(DECISIONS, ref.name, ["copies", "step", "margin"], rows)
        explained = []
        for (row, uid), steps, facts, decision in zip(places, judged, index, decided, strict=True):
            top = [step for step in steps if step.depth == 0]
            copies = (top[-1].copies if top[-1].verdict == "kept" else 0) if top else int(block.valid[row])
            if copies != decision["copies"]:
                raise AccountsError(f"{uid} was decided to have {decision['copies']} copies, the replay gives {copies}")
            outcome, detail = _outcome(decision, facts, explain.not_finite(block, list(block.columns), row))
            explained.append(
                {
                    "uid": uid,
                    "shard": ref.name,
                    "row": row,
                    "key": facts["key"],
                    "caption": facts["caption"],
                    "outcome": outcome,
                    "detail": detail,
                    "copies": copies,
                    "margin": explain.json_value(decision["margin"]),
                    "steps": [dataclasses.asdict(step) for step in steps] if block.valid[row] else [],
                }
            )
        return explained


def _outcome(decision: dict[str, Any], facts: dict[str, Any], lacking: list[str]) -> tuple[str, str]:
    """Returns in words what became of a sample, and of a rejected one the detail of the rejection."""
    if decision["step"] == "rejected":
        if facts["status"] != columns.OK:
            return f"rejected: {facts['status']}", facts["detail"]
        return "rejected: score_not_finite", f"no finite value in {', '.join(lacking)}"
    if decision["step"]:
        return f"dropped by {decision['step']}", ""
    return f"kept, {decision['copies']} {'copy' if decision['copies'] == 1 else 'copies'}", ""
