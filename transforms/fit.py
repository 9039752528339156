"""Fit a recipe: the one combiner behind every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.recipes import recipe as recipes
from transforms.lib.recipes.contract.step import Step
from transforms.outputs.crawls import ALONE, Basis
from transforms.outputs.store import BlockReader
from transforms.rows import ShardRef, ShardRefs
from transforms.workers.summarise_shard import States, SummariseRound


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


def solve(summary: Any, states: States, step: Step) -> States:
    """Solves the state of the last of ``states``, which is that of ``step``, from a round's summary."""
    return (*states[:-1], step.solve(states[-1], summary))


@dataclasses.dataclass(eq=False)
class FitStep(beam.PTransform):
    """Unrolls the rounds of one step: ``ShardRef`` rows in, the solved states of all steps so far out, one element.

    Cost: each round reads the columns it names again and merges one bounded summary per shard; nothing per sample
    is shuffled or materialised between rounds. Of earlier crawls it reads some KiB per file and round, and one bin.

    Attributes:
      steps: of the recipe.
      number: of the step to fit; the earlier ones are solved.
      reader: of the blocks.
      states: singleton, the solved states of the earlier steps.
      basis: earlier crawls that the step is fitted over too.
      wide: whether it reads numbers that float32 cannot hold; if not, it may need fewer rounds.
    """

    steps: tuple[Step, ...]
    number: int
    reader: BlockReader
    states: beam.PCollection[States]
    basis: Basis = ALONE
    wide: bool = True

    def expand(self, refs: ShardRefs) -> beam.PCollection[States]:
        step = self.steps[self.number]
        states = self.states | "Start" >> beam.Map(lambda solved, start: (*solved, start), step.start())
        name = self.basis.names[self.number] if self.basis.names else ""
        summarise = SummariseRound(self.steps, self.number, self.reader, name)
        places: beam.PCollection[ShardRef | str] = refs
        if name and self.basis.memories:
            earlier = refs.pipeline | "Earlier" >> beam.Create(self.basis.memories)
            places = (refs, earlier) | "Both" >> beam.Flatten() | "Spread" >> beam.Reshuffle()
        rounds = step.rounds if self.wide or step.narrow_rounds is None else step.narrow_rounds
        for turn in range(rounds):
            summary = (
                places
                | f"Summarise{turn}" >> beam.Map(summarise, AsSingleton(states))
                | f"Merge{turn}" >> beam.CombineGlobally(MergeSummariesFn(step))
            )
            states = summary | f"Solve{turn}" >> beam.Map(solve, AsSingleton(states), step)
        return states


@dataclasses.dataclass(eq=False)
class FitRecipe(beam.PTransform):
    """Fits every step of a recipe in order: ``ShardRef`` rows in, one tuple of solved states out.

    Attributes:
      recipe: what to fit.
      reader: of the blocks.
      basis: what it rests on beside these shards.
      wide: labels of the steps that read numbers which float32 cannot hold; None for any of them.
    """

    recipe: recipes.Recipe
    reader: BlockReader
    basis: Basis = ALONE
    wide: frozenset[str] | None = None

    def expand(self, refs: ShardRefs) -> beam.PCollection[States]:
        if self.basis.states is not None:
            return refs.pipeline | "Frozen" >> beam.Create([self.basis.states])
        states = refs.pipeline | "NoStates" >> beam.Create([()])
        for number, step in enumerate(self.recipe.steps):
            wide = self.wide is None or step.label in self.wide
            fit = FitStep(self.recipe.steps, number, self.reader, states, self.basis, wide)
            states = refs | f"Fit_{step.label}" >> fit
        return states
