"""Fit a recipe: the one combiner behind every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.recipes import recipe as recipes
from transforms.lib.recipes.contract.step import Step
from transforms.lib.stats.crawl_summary import SummaryView
from transforms.outputs.crawls import ALONE, Basis, opened
from transforms.outputs.store import BlockReader
from transforms.rows import ShardRef, ShardRefs

States = tuple[Any, ...]


@dataclasses.dataclass(eq=False)
class MergeSummariesFn(beam.CombineFn):
    """Merges the summaries of a step; None is the empty accumulator.

    Attributes:
      step: whose ``merge`` it is; the accumulator is the state, the combiner has none.
    """

    step: Step

    def create_accumulator(self) -> Any:
        return None

    def add_input(self, accumulator: Any, summary: Any) -> Any:
        return summary if accumulator is None else self.step.merge(accumulator, summary)

    def merge_accumulators(self, accumulators: Iterable[Any]) -> Any:
        merged = None
        for accumulator in accumulators:
            if accumulator is not None:
                merged = self.add_input(merged, accumulator)
        return merged

    def extract_output(self, accumulator: Any) -> Any:
        return accumulator


@dataclasses.dataclass(frozen=True)
class _Round:
    """One round of one step, as functions for workers."""

    steps: tuple[Step, ...]
    number: int
    reader: BlockReader
    name: str

    def summarise(self, ref: ShardRef | str, states: States) -> Any:
        """Returns the summary of a shard, or of what lies at the address of summaries of an earlier crawl."""
        step, state = self.steps[self.number], states[self.number]
        needs = step.needs(state)
        if not needs:
            return None
        if isinstance(ref, str):
            with opened([ref]) as (memory,):
                return step.recall(SummaryView(memory, f"{self.name}/"), state)
        earlier = self.steps[: self.number]
        block = self.reader.block(ref, sorted(recipes.stored_inputs(earlier, needs)))
        return step.summarise(recipes.advance(earlier, block, states[: self.number]), state)

    def solve(self, summary: Any, states: States) -> States:
        step = self.steps[self.number]
        return (*states[: self.number], step.solve(states[self.number], summary))


@dataclasses.dataclass(eq=False)
class FitStep(beam.PTransform):
    """Unrolls the rounds of one step: ``ShardRef`` rows in, the solved states of all steps so far out, one element.

    Cost: each round reads the columns it names again and merges one bounded summary a shard; nothing per sample
    is shuffled or materialised between rounds. Of earlier crawls it reads some KiB a file and round, and one bin.

    Attributes:
      steps: of the recipe.
      number: of the step to fit; the earlier ones are solved.
      reader: of the blocks.
      states: singleton, the solved states of the earlier steps.
      basis: earlier crawls that the step is fitted over too.
    """

    steps: tuple[Step, ...]
    number: int
    reader: BlockReader
    states: beam.PCollection[States]
    basis: Basis = ALONE

    def expand(self, refs: ShardRefs) -> beam.PCollection[States]:
        step = self.steps[self.number]
        states = self.states | "Start" >> beam.Map(lambda solved, start: (*solved, start), step.start())
        name = self.basis.names[self.number] if self.basis.names else ""
        work = _Round(self.steps, self.number, self.reader, name)
        places: beam.PCollection[ShardRef | str] = refs
        if name and self.basis.memories:
            earlier = refs.pipeline | "Earlier" >> beam.Create(self.basis.memories)
            places = (refs, earlier) | "Both" >> beam.Flatten() | "Spread" >> beam.Reshuffle()
        for turn in range(step.rounds):
            summary = (
                places
                | f"Summarise{turn}" >> beam.Map(work.summarise, AsSingleton(states))
                | f"Merge{turn}" >> beam.CombineGlobally(MergeSummariesFn(step))
            )
            states = summary | f"Solve{turn}" >> beam.Map(work.solve, AsSingleton(states))
        return states


@dataclasses.dataclass(eq=False)
class FitRecipe(beam.PTransform):
    """Fits every step of a recipe in order: ``ShardRef`` rows in, one tuple of solved states out.

    Attributes:
      recipe: what to fit.
      reader: of the blocks.
      basis: what it rests on beside these shards.
    """

    recipe: recipes.Recipe
    reader: BlockReader
    basis: Basis = ALONE

    def expand(self, refs: ShardRefs) -> beam.PCollection[States]:
        if self.basis.states is not None:
            return refs.pipeline | "Frozen" >> beam.Create([self.basis.states])
        states = refs.pipeline | "NoStates" >> beam.Create([()])
        for number, step in enumerate(self.recipe.steps):
            fit = FitStep(self.recipe.steps, number, self.reader, states, self.basis)
            states = refs | f"Fit_{step.label}" >> fit
        return states
