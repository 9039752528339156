"""Balancing over a metadata list, as MetaCLIP curates: of an entry that many captions name, fewer of them pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Float64, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import TEXT, UID, Step, Verdict
from transforms.lib.recipes.text import metadata_match
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary

_STREAM = 0x6D657461636C6970  # keeps these draws apart from those of another step of the same seed


@record("metaclip/1", formerly="metaclip.BalanceState")
@dataclasses.dataclass(frozen=True, eq=False)
class BalanceState:
    """What is known after the round.

    Attributes:
      counts: int64 ``[entries]``, samples that name each entry; None before.
    """

    counts: Int64 | None = None


def chances(row: Int64, entry: Int64, rows: int, counts: Int64, limit: int | Int64) -> Float64:
    """Returns the chance of each sample to be kept: ``1 - prod (1 - p_e)``, ``p_e = limit / max(limit, count_e)``.

    Args:
      row: int64 ``[m]``, sorted; with ``entry``, the entries that samples name.
      entry: int64 ``[m]``.
      rows: samples.
      counts: int64 ``[entries]``.
      limit: ``t``, of all entries, or int64 ``[entries]``.

    Returns:
      float64 ``[rows]``; 0 where a sample names none.
    """
    missed = np.ones(rows)
    named, first = np.unique(row, return_index=True)
    if len(named):
        most = np.broadcast_to(limit, counts.shape)[entry]
        probability = most / np.maximum(most, counts[entry])
        missed[named] = np.multiply.reduceat(1 - probability, first)
    return 1 - missed


@dataclasses.dataclass(frozen=True)
class MetaClip(Step):
    """Keeps a sample with a chance that falls with how common the entries are that its caption names.

    An entry is named when it stands in the caption between spaces, case counting. The samples that the earlier steps
    left are counted, so balancing should be the last step. An entry named ``count`` times passes with probability
    ``limit / max(limit, count)``, each on its own, and a sample is kept when any of its entries passes; one that names
    none is dropped. The draws of a sample's entries are folded into one number keyed by (seed, uid), which is kept
    below ``1 - prod (1 - p)``: the chance is the same, and no worker or order changes it.

    The margin is that chance less the number drawn.

    Cost: one round; a summary is 8 bytes per entry (4 MB for MetaCLIP's 500,000), whatever the pool. Captions are
    matched twice.

    Source: Xu et al. 2023, "Demystifying CLIP Data", arXiv:2309.16671, section 3; metaclip/balancing.py.

    Attributes:
      column: the column of captions.
      metadata: the list, a JSON list of strings (MetaCLIP's ``metadata.json``) or one entry per line.
      limit: ``t``, 20,000 for 400 million pairs and 170,000 for 2.5 billion.
      seed: of the draws.
    """

    kind = "metaclip"
    rounds = 1
    carries = True
    files = ("metadata",)

    column: str = "index.caption"
    metadata: str = ""
    limit: int = 20_000
    seed: int = 0

    def faults(self) -> list[str]:
        problems = []
        if not self.metadata:
            problems.append(f"{self.label}.metadata is missing; name a JSON list of entries, or a file of one per line")
        if self.limit < 1:
            problems.append(f"{self.label}.limit must be at least 1, got {self.limit}; 20000 is that of MetaCLIP-400M")
        return problems

    def check_files(self, files: Mapping[str, str]) -> None:
        self._matcher(files)

    def _matcher(self, files: Mapping[str, str]) -> metadata_match.EntryMatcher:
        return metadata_match.matcher(files[f"{self.label}.metadata"])

    def input_types(self) -> tuple[str, ...]:
        return (TEXT, UID)

    def inputs(self) -> tuple[str, ...]:
        return (self.column, "uid")

    def score(self) -> None:
        return None

    def needs(self, state: BalanceState) -> tuple[str, ...]:
        return (self.column,) if state.counts is None else ()

    def start(self) -> BalanceState:
        return BalanceState()

    def summarise(self, block: Block, state: BalanceState) -> Int64:
        _, entry = self._named(block, np.flatnonzero(block.alive))
        return np.bincount(entry, minlength=self._entries(block.files))

    def _entries(self, files: Mapping[str, str]) -> int:
        return self._matcher(files).entries

    def _named(self, block: Block, rows: NDArray[np.intp]) -> tuple[Int64, Int64]:
        """Returns the entries that some rows name: (place among ``rows``, entry), int64 ``[m]``, sorted."""
        return self._matcher(block.files).match(block.columns[self.column][rows])

    def _limits(self, block: Block, counts: Int64) -> int | Int64:
        """Returns ``t``, of all entries or of each."""
        return self.limit

    def merge(self, left: Int64, right: Int64) -> Int64:
        return left + right

    def solve(self, state: BalanceState, summary: Int64 | None) -> BalanceState:
        if summary is None:
            raise EmptyPoolError(f"{self.label}: the pool has no shard, so there is nothing to balance")
        return BalanceState(summary)

    def remembered_as(self) -> dict[str, Any]:
        return {"kind": self.kind, "column": self.column}

    def remember(self, block: Block) -> Arrays:
        return {"counts": self.summarise(block, self.start())}

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        return {"counts": np.sum([part["counts"] for part in parts], axis=0)}

    def recall(self, memory: CrawlSummary, state: BalanceState) -> Int64:
        return memory.whole("counts")

    def apply(self, block: Block, state: BalanceState) -> Verdict:
        if state.counts is None:
            raise ValueError(f"{self.label} was not fitted")
        row, entry = self._named(block, np.arange(len(block.valid)))
        chance = chances(row, entry, len(block.valid), state.counts, self._limits(block, state.counts))
        drawn = uids.uniform(block.columns["uid"], self.seed ^ _STREAM)
        return Verdict.of(block, drawn < chance, chance - drawn)

    def sentence(self) -> str:
        return (
            f"Balance over the entries of {self.metadata}: an entry passes about {self.limit} of the captions that "
            f"name it, or all if there are fewer; captions that name no entry are dropped; seed {self.seed}."
        )

    def facts(self, state: BalanceState) -> dict[str, float | int | str]:
        counts = np.zeros(0, np.int64) if state.counts is None else state.counts
        return {
            "entries": len(counts),
            "named": int((counts > 0).sum()),
            "above_limit": int((counts > self.limit).sum()),
            "pairs_of_entry_and_sample": int(counts.sum()),
        }
