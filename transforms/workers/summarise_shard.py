"""Summarise one shard: for a round of the fit of a step, and for the crawls that come after."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib import stamps
from transforms.lib.arrays import Float32
from transforms.lib.columnstore import columns
from transforms.lib.recipes import recipe as recipes
from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.steps.drop_kept import images_of
from transforms.lib.stats import crawl_summary, quantiles, sorted_keys
from transforms.outputs import crawls
from transforms.outputs.sort_uids import SortedRun, write_run
from transforms.outputs.store import DECISIONS, BlockReader, Store
from transforms.rows import ShardRef
from transforms.workers.decide_shard import SelectSettings

IMAGE_RUNS = ".image-runs"
SHARDS = 256  # shards whose summaries share a file

States = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class SummariseRound:
    """Returns the summary of a shard for one round of one step.

    Attributes:
      steps: of the recipe.
      number: of the step that is fitted; the earlier ones are solved.
      reader: of the blocks.
      name: of the step's memory in the summaries of earlier crawls.
    """

    steps: tuple[Step, ...]
    number: int
    reader: BlockReader
    name: str

    def __call__(self, ref: ShardRef | str, states: States) -> Any:
        """Returns the summary of a shard, or of what lies at the address of summaries of an earlier crawl."""
        step, state = self.steps[self.number], states[self.number]
        needs = step.needs(state)
        if not needs:
            return None
        if isinstance(ref, str):
            with crawls.opened([ref]) as (memory,):
                return step.recall(crawl_summary.SummaryView(memory, f"{self.name}/"), state)
        earlier = self.steps[: self.number]
        block = self.reader.block(ref, sorted(recipes.stored_inputs(earlier, needs)))
        return step.summarise(recipes.advance(earlier, block, states[: self.number]), state)


@dataclasses.dataclass(frozen=True)
class RememberSettings:
    """Everything it takes to leave summaries behind; workers get it as a field.

    Attributes:
      select: how the crawl was decided.
      names: name of each step's memory, as ``pooling.remembered`` has it; empty for a step without one.
      shards: of the crawl, which are dealt out over files of some 256.
    """

    select: SelectSettings
    names: tuple[str, ...]
    shards: int

    def part_of(self, shard: str) -> int:
        """Returns the file that a shard's summaries go into; a function of its name."""
        return int(stamps.sha256(shard.encode())[:8], 16) % -(-self.shards // SHARDS)


@dataclasses.dataclass(frozen=True)
class SummariseCrawl:
    """Returns the file that a shard's summaries go into, and the summaries as ``crawl_summary.to_bytes`` packs them.

    Attributes:
      settings: what is left behind, and where.
    """

    settings: RememberSettings

    def __call__(self, ref: ShardRef, states: States, after: Any) -> tuple[int, bytes]:
        select, names = self.settings.select, self.settings.names
        keys = sorted_keys.arrays_of(quantiles.ordered_bits(_scores(select, ref)))
        arrays = crawl_summary.prefixed(crawls.SCORE, keys)
        if any(names):
            block = select.reader.block(ref, select.recipe.inputs())
            steps = select.recipe.steps
            for number, name in enumerate(names):
                if name:
                    before = recipes.advance(steps[:number], block, states[:number])
                    arrays |= crawl_summary.prefixed(f"{name}/", steps[number].remember(before))
        return self.settings.part_of(ref.name), crawl_summary.to_bytes(arrays)


def _scores(settings: SelectSettings, ref: ShardRef) -> Float32:
    """Returns float32 ``[n]``: the finite scores of a shard's samples that were not rejected."""
    store = Store(settings.root)
    if settings.score is None:
        return np.zeros(0, np.float32)
    values = store.arrays(ref.name, {"score": settings.score})["score"].astype(np.float32)
    finite: Float32 = values[store.valid(ref.name) & np.isfinite(values)]
    return finite


@dataclasses.dataclass(frozen=True)
class WriteKeptImages:
    """Writes the images that a shard keeps as a run, each once; none where no image was looked at.

    Attributes:
      store: of index and decisions.
    """

    store: Store

    def __call__(self, ref: ShardRef, after: Any) -> SortedRun:
        store = self.store
        kept = store.read(DECISIONS, ref.name, ["copies"])["copies"].to_numpy() > 0
        pairs = images_of(store.arrays(ref.name, {"image": (columns.INDEX, "image_sha256")})["image"][kept])
        return write_run(store.root, ref.name, np.unique(pairs[pairs.any(axis=1)], axis=0), IMAGE_RUNS)
