"""What ``evaluate`` finds out before any training: selections as copies of a pool's rows, and evaluation sets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beam_pipelines.config.train import EvaluateConfig
from beam_pipelines.planning import labelled, selections, workspace
from beam_pipelines.planning.plan_facts import Problems
from transforms import shards as pools
from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.flyt import labelled as lib_labelled
from transforms.lib.subsets import subset_files
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import Shard, ShardRef

RECORD = "evaluation-run.json"
_TRAINED_BY = ("model", "samples_seen", "batch_size", "learning_rate", "warmup", "weight_decay", "crop")

ALL = "all"
"""Source of an arm that takes every sample of the pool."""


class Arm(NamedTuple):
    """A selection to train on.

    Attributes:
      name: of the arm.
      pool: output folder that it is of.
      selection: ID of the selection; empty for that of Winnow 0.1, for a subset file and for all.
      subset: path of a subset file; empty otherwise.
      everything: every sample of the pool.
      size: copies, as far as they are known without reading the pool; -1 where they are not.
    """

    name: str
    pool: str
    selection: str = ""
    subset: str = ""
    everything: bool = False
    size: int = -1


class RetrievalSource(NamedTuple):
    """An evaluation set of pictures with captions: its name, and its shards."""

    name: str
    shards: list[Shard]


class Plan(NamedTuple):
    """All that an evaluation needs, once nothing is wrong with the request.

    Attributes:
      arms: to train on, in order.
      refs: the shards of their pool.
      classification: evaluation sets with classes.
      retrieval: evaluation sets with captions.
    """

    arms: list[Arm]
    refs: Sequence[ShardRef]
    classification: list[labelled.LabelledSource]
    retrieval: list[RetrievalSource]


def check_output(config: EvaluateConfig, problems: Problems) -> None:
    """Notes where the folder holds something else, or models of another architecture or another training."""
    folder, record = Path(config.output), Path(config.output) / RECORD
    if not record.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            problems.append(f"--output {config.output} exists and holds no evaluation; name a new folder")
        return
    before = json.loads(record.read_text())
    for name, value in trained_by(config).items():
        if config.arm and not config.hand_off and before.get(name, value) != value:
            problems.append(
                f"--{name} {value}: the models of --output {config.output} were trained with {before[name]}, and can "
                "neither go on nor stand in one table with these; give the same, or name a new folder"
            )


def trained_by(config: EvaluateConfig) -> dict[str, Any]:
    """Returns the flags that decide what a model of a given seed becomes."""
    return {name: getattr(config, name) for name in _TRAINED_BY}


def find(config: EvaluateConfig, problems: Problems) -> Plan:
    """Finds arms and evaluation sets, and notes everything that is wrong."""
    refs: dict[str, Sequence[ShardRef]] = {}
    arms = [problems.collect(_arm, config, text, refs) for text in config.arm]
    found = [arm for arm in arms if arm]
    folders = list(dict.fromkeys(arm.pool for arm in found))
    kinds = {folder: _pool_of(folder, refs[folder]) for folder in folders}
    if len(set(kinds.values())) > 1:
        other = next(folder for folder in folders if kinds[folder] != kinds[folders[0]])
        problems.append(
            f"--arm: {folders[0]} and {other} hold different pools, and only selections of one pool can be compared; "
            "select both in one output folder (`winnow select --name`)"
        )
    if not config.hand_off:
        problems.extend(_too_small({arm.name: arm.size for arm in found if arm.size >= 0}, config.batch_size))
    tasks = [] if config.hand_off else _tasks(config, problems)
    captioned = [] if config.hand_off else [_retrieval(text, problems) for text in config.retrieval]
    return Plan(found, refs.get(folders[0], []) if folders else [], tasks, captioned)


def _too_small(sizes_of: Mapping[str, int], batch_size: int) -> list[str]:
    """Returns a line for every arm with fewer pairs than a batch, copies counted."""
    return [
        f"--arm {name} has {size} pairs, fewer than --batch_size {batch_size}; keep more of the pool, or give smaller "
        "batches"
        for name, size in sizes_of.items()
        if size < batch_size
    ]


def _pool_of(folder: str, refs: Sequence[ShardRef]) -> tuple[tuple[str, int], ...]:
    """Returns what tells one pool from another: its shards by name and size."""
    return tuple(sorted((ref.name, ref.size) for ref in refs))


def _arm(config: EvaluateConfig, text: str, refs: dict[str, Sequence[ShardRef]]) -> Arm:
    name, _, source = text.partition("=")
    subset = source.endswith(".npy")
    if subset or source == ALL:
        if not config.pool:
            raise InputError(f"--arm {text}: name the pool that it is of, --pool FOLDER")
        _read_pool(config.pool, refs)
        if not subset:
            return Arm(name, config.pool, everything=True)
        if not os.path.isfile(source):
            raise InputError(f"--arm {text}: there is no such subset file")
        rows = subset_files.open_subset(source)
        subset_files.check_sorted(rows)
        return Arm(name, config.pool, subset=source, size=len(rows))
    folder, _, selection = source.partition("#")
    _read_pool(folder, refs)
    found = selections.find(folder, selection, refs[folder])
    return Arm(name, folder, found.id, size=found.copies)


def _read_pool(folder: str, refs: dict[str, Sequence[ShardRef]]) -> None:
    if folder not in refs:
        refs[folder] = workspace.read_pool(folder)


def _tasks(config: EvaluateConfig, problems: Problems) -> list[labelled.LabelledSource]:
    tasks = labelled.split(config.classification)
    flags = {name: labelled.split(getattr(config, name)) for name in ("label_field", "class_names", "prompts")}
    for flag, values in flags.items():
        for task, given in values.items():
            if task not in ("", *tasks):
                problems.append(f"--{flag} {task}=...: no --classification is of this task")
            if len(given) > 1:
                problems.append(f"--{flag} is given {len(given)} times for one task; give it once")
    return [labelled.source(task, texts, flags, problems, "--classification") for task, texts in tasks.items()]


def _retrieval(text: str, problems: Problems) -> RetrievalSource:
    name, _, place = text.partition("=")
    return RetrievalSource(name, problems.collect(pools.find_shards, [place], "--retrieval") or [])


def copies(plan: Plan, batch_size: int) -> dict[str, dict[str, Int64]]:
    """Returns arm -> shard -> int64 ``[rows]``: how often the arm has each sample; 0 for rejected ones.

    A uid that several samples of the pool bear stands for the first of them.

    Args:
      plan: with arms of one pool.
      batch_size: pairs that an arm must have.

    Raises:
      InputError: a subset file names samples that the pool lacks, or an arm has fewer pairs than a batch.
    """
    found: dict[str, dict[str, Int64]] = {arm.name: {} for arm in plan.arms}
    subsets = {arm.name: subset_files.open_subset(arm.subset) for arm in plan.arms if arm.subset}
    taken = {name: np.zeros(len(rows), np.bool_) for name, rows in subsets.items()}
    for ref in plan.refs:
        for arm in plan.arms:
            store = Store(arm.pool, arm.selection)
            valid = store.valid(ref.name)
            if arm.everything:
                found[arm.name][ref.name] = valid.astype(np.int64)
            elif not arm.subset:
                decided = store.read(DECISIONS, ref.name, ["copies"])["copies"].to_numpy()
                found[arm.name][ref.name] = np.where(valid, decided, 0).astype(np.int64)
            else:
                pairs = columns.uid_pairs(store.read(columns.INDEX, ref.name, ["uid"])["uid"].filter(valid))
                counts = np.zeros(len(valid), np.int64)
                counts[valid] = _first(subsets[arm.name], pairs, taken[arm.name])
                found[arm.name][ref.name] = counts
    problems = []
    for arm in plan.arms:
        lacking = len(subsets[arm.name]) - sum(int(n.sum()) for n in found[arm.name].values()) if arm.subset else 0
        if lacking:
            problems.append(f"--arm {arm.name}: {lacking} uids of {arm.subset} are not in the pool {arm.pool}")
    totals = {name: sum(int(n.sum()) for n in rows.values()) for name, rows in found.items()}
    problems += _too_small(totals, batch_size)
    if problems:
        raise InputError(problems)
    return found


def _first(rows: subset_files.UidRecords, pairs: UInt64, taken: Bool) -> Int64:
    """Returns how often a subset has each uid, 0 for one that was asked for before; marks them in ``taken``."""
    counts, place = subset_files.multiplicity(rows, pairs), subset_files.places(rows, pairs)
    order = np.unique(place, return_index=True)[1]
    fresh = np.zeros(len(pairs), np.bool_)
    fresh[order] = True
    fresh &= place >= 0
    fresh[fresh] &= ~taken[place[fresh]]
    taken[place[fresh]] = True
    return np.where(fresh, counts, 0)


def sizes(counts: Mapping[str, Int64]) -> tuple[int, int]:
    """Returns how many distinct pairs an arm has, and how many with copies."""
    return sum(int((n > 0).sum()) for n in counts.values()), sum(int(n.sum()) for n in counts.values())


def classes_of(source: labelled.LabelledSource) -> lib_labelled.Labelled:
    """Reads the pictures of an evaluation set; errors as ``planning.labelled.read``."""
    return labelled.read(source, "--classification").labelled
