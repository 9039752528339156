"""Decide one shard: columns in; decisions, books and kept uids out."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics

from transforms.lib import lost_shards, stamps
from transforms.lib.arrays import Bool, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import Reason
from transforms.lib.recipes import accounts
from transforms.lib.recipes import recipe as recipes
from transforms.lib.recipes.contract import state_json as solved
from transforms.lib.recipes.steps import subset
from transforms.lib.reshard import shard_layout
from transforms.lib.subsets import subset_files
from transforms.lib.tar_account import TarAccount
from transforms.outputs import selections, stored_files
from transforms.outputs.sort_uids import RUNS, SortedRun, write_run
from transforms.outputs.store import DECISIONS, BlockReader, Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.shard_work import logged

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """Everything selection needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      recipe: what decides.
      where: each column the recipe reads -> (column set, column).
      score: the column that the report shows first; None for none.
      limits: what is no failure.
      files: ``label.parameter`` -> (address, sha256) of the files that the recipe's steps name.
      selection: ID of the selection.
      name: that is to stand for it.
      code: ``label.code`` -> sha256 of the module of each step that another package brings.
    """

    root: str
    recipe: recipes.Recipe
    where: Mapping[str, tuple[str, str]]
    score: tuple[str, str] | None
    limits: accounts.Limits
    files: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    selection: str = ""
    name: str = selections.CURRENT
    code: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The columns, and the decisions of this selection."""
        return Store(self.root, self.selection)

    def path(self, name: str) -> str:
        """Returns the path, below the output folder, of a file of this selection."""
        return selections.path_of(self.selection, name)

    @property
    def subsets(self) -> set[str]:
        """Labels of the steps that select by a subset file."""
        return {step.label for step in self.recipe.flat() if isinstance(step, subset.Subset)}

    @property
    def reader(self) -> BlockReader:
        """The reader of the recipe's blocks."""
        return BlockReader(self.store, self.where, {name: uri for name, (uri, _) in self.files.items()})


class Decided(NamedTuple):
    """What one shard's decisions leave behind.

    Attributes:
      books: of the shard.
      source: the shard as the resharder's plan sees it.
      uids: the file of the kept uids, sorted, once per copy.
      file: the decisions file.
    """

    books: accounts.Books
    source: shard_layout.DecidedShard
    uids: SortedRun
    file: FileRow


class SolvedStates(NamedTuple):
    """The solved states of all steps, and the same as JSON values, made once: every shard's stamp holds them."""

    states: tuple[Any, ...]
    recorded: list[Any]

    @classmethod
    def of(cls, states: tuple[Any, ...], *, formerly: bool = False) -> SolvedStates:
        """Returns both forms; with ``formerly``, records have the names of Winnow 0.1."""
        return cls(states, [solved.to_json(state, formerly=formerly) for state in states])


@dataclasses.dataclass(frozen=True)
class DecideShard:
    """Decides one shard, writes its decisions and keeps its books."""

    settings: SelectSettings

    def __call__(self, ref: ShardRef, states: SolvedStates) -> Decided:
        with logged(_LOG, "decide", ref.name) as outcome:
            decided = self._decide(ref, states)
            outcome.samples, outcome.rejected = decided.books.samples, sum(decided.books.rejected.values())
        return decided

    def _decide(self, ref: ShardRef, states: SolvedStates) -> Decided:
        settings = self.settings
        with settings.store.held() as store:
            block = settings.reader.of(store).block(ref, settings.recipe.inputs())
            uid = self._uid(store, ref, block)
            decisions = recipes.decide(settings.recipe.steps, block, states.states)
            stamp = self.stamp(store, ref, states)
            file = self._write(store, ref, decisions, stamp)
            books = self._books(store, ref, decisions)
        accounts.check_closed(books, f"shard {ref.name}")
        Metrics.counter("select", "decided").inc(books.samples)
        Metrics.counter("select", "out").inc(books.kept)
        source = shard_layout.DecidedShard(ref.name, ref.uri, stamp, shard_layout.counts_of(decisions.copies))
        kept = np.repeat(uid, decisions.copies, axis=0)
        run = write_run(settings.root, ref.name, kept, settings.path(RUNS))
        return Decided(books, source, run, file)

    def stamp(self, store: Store, ref: ShardRef, states: SolvedStates) -> str:
        """Returns the stamp of a shard's decisions."""
        made_of = {"recipe": self.settings.recipe.as_dict(), "states": states.recorded}
        return stamps.stamp(**made_of, inputs=self._inputs(store, ref))

    def _uid(self, store: Store, ref: ShardRef, block: Block) -> UInt64:
        """Returns uint64 ``[n, 2]``, from the block if it has them."""
        place = (columns.INDEX, "uid")
        name = next((n for n, at in self.settings.where.items() if at == place and n in block.columns), None)
        return block.columns[name] if name else store.arrays(ref.name, {"uid": place})["uid"]

    def _labels(self) -> list[str]:
        """Returns the names of step indices: those of the steps, then ``REJECTED`` and ``KEPT`` from the end."""
        return [*(step.label for step in self.settings.recipe.steps), "rejected", ""]

    def _write(self, store: Store, ref: ShardRef, decisions: recipes.Decisions, stamp: str) -> FileRow:
        labels = self._labels()
        step = pa.array(labels, pa.string()).take(pa.array(decisions.step.astype(np.int64) % len(labels)))
        arrays = [pa.array(decisions.copies), step, pa.array(decisions.margin)]
        table = pa.Table.from_arrays(arrays, schema=columns.DECISIONS_SCHEMA)
        index = store.facts(columns.INDEX, ref.name)["stamp"]
        sets = {columns.INDEX, *(owner for owner, _ in self.settings.where.values())}
        facts = stored_files.made_from(store.seals(ref.name, sorted(sets)))
        facts |= {"selection": self.settings.selection, "copies": str(int(decisions.copies.sum()))}
        return store.write(DECISIONS, ref.name, table, stamp, uri=ref.uri, index=index, **facts)

    def _inputs(self, store: Store, ref: ShardRef) -> dict[str, str]:
        """Returns name -> stamp or sha256 of all files that this shard's decisions depend on."""
        files = {name: digest for name, (_, digest) in self.settings.files.items()} | dict(self.settings.code)
        sets = {columns.INDEX, *(owner for owner, _ in self.settings.where.values())}
        return files | {name: store.facts(name, ref.name)["stamp"] for name in sorted(sets)}

    def _reasons(self, store: Store, ref: ShardRef, rejected: Bool) -> dict[str, int]:
        """Returns reason -> samples; a sample that was not rejected when it was indexed has no finite score."""
        if not rejected.any():
            return {}
        status = store.read(columns.INDEX, ref.name, ["status"])["status"].filter(rejected)
        counts = Counter(status.to_pylist())
        finite = counts.pop(columns.OK, 0)
        return dict(counts) | ({Reason.SCORE_NOT_FINITE.value: finite} if finite else {})

    @staticmethod
    def _lost(store: Store, ref: ShardRef, reasons: Mapping[str, int]) -> lost_shards.Lost:
        """Returns whether a shard is one that nothing could be read of."""
        if not any(reason in lost_shards.REASONS for reason in reasons):
            return lost_shards.Lost(1)
        return lost_shards.lost(ref.name, store.read(columns.INDEX, ref.name, ["status", "detail"]))

    def _listed(self, store: Store, ref: ShardRef) -> dict[str, int]:
        """Returns label of a step that selects by a subset file -> samples of the shard that it lists."""
        if not self.settings.subsets:
            return {}
        pairs = store.arrays(ref.name, {"uid": (columns.INDEX, "uid")})["uid"][store.valid(ref.name)]
        files = {label: filesystem.fetch(self.settings.files[f"{label}.file"][0]) for label in self.settings.subsets}
        return {
            label: int((subset_files.places(subset_files.open_subset(path), pairs) >= 0).sum())
            for label, path in sorted(files.items())
        }

    def _books(self, store: Store, ref: ShardRef, decisions: recipes.Decisions) -> accounts.Books:
        rejected, kept = decisions.step == recipes.REJECTED, decisions.copies > 0
        labels = [step.label for step in self.settings.recipe.steps]
        dropped = np.bincount(decisions.step[decisions.step >= 0], minlength=len(labels)).tolist()
        reasons = self._reasons(store, ref, rejected)
        return accounts.Books(
            shards=1,
            samples=len(rejected),
            kept=int(kept.sum()),
            copies=int(decisions.copies.sum()),
            dropped={label: count for label, count in zip(labels, dropped, strict=True) if count},
            rejected=reasons,
            notices=store.notices(ref.name),
            listed=self._listed(store, ref),
            size_bytes=ref.size,
            tar=TarAccount.from_json(store.facts(columns.INDEX, ref.name).get("tar", "{}")),
            lost=self._lost(store, ref, reasons),
        )
