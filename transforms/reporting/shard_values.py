"""The columns of one decided shard as the report looks at them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.recipes import recipe as recipes
from transforms.lib.report import bounds
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef
from transforms.workers.decide_shard import SelectSettings, SolvedStates

Place = tuple[str, str]
"""A column set, and a column of it."""


@dataclasses.dataclass(frozen=True)
class SurveySettings:
    """What the report looks at; workers get it as a field.

    Attributes:
      select: the selection that the report is of.
      numbers: name that the report shows -> place of a column of one number per sample.
      names: column as the recipe calls it -> name that the report shows; of those that steps make, the same.
      score: name of the column that stands below pictures; empty for none.
      language: place of the language of captions; None where nobody knows it.
      duplicates: column sets of duplicates.
    """

    select: SelectSettings
    numbers: Mapping[str, Place]
    names: Mapping[str, str]
    score: str = ""
    language: Place | None = None
    duplicates: tuple[str, ...] = ()

    @property
    def bounds(self) -> tuple[bounds.Bound, ...]:
        """The steps whose bound can be moved and whose column is a number."""
        found = bounds.movable(self.select.recipe.steps)
        return tuple(bound for bound in found if bound.column in self.names)

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of all columns that are shown: those that the store has, then those that steps make."""
        made = [name for step in self.select.recipe.steps for name in step.makes()]
        return tuple(dict.fromkeys([*self.numbers, *made]))

    @property
    def ladders(self) -> tuple[str, ...]:
        """The columns along which pictures are shown: those of bounds that can be moved, else the score."""
        moved = dict.fromkeys(self.names[bound.column] for bound in self.bounds)
        return tuple(moved) or tuple(filter(None, [self.score]))

    def replays(self) -> bool:
        """Returns whether the steps must be applied again: where they make columns, or follow a bound."""
        steps = self.select.recipe.steps
        return any(step.makes() for step in steps) or any(bound.number + 1 < len(steps) for bound in self.bounds)


class ShardValues(NamedTuple):
    """One decided shard.

    Attributes:
      uid: uint64 ``[n, 2]``.
      copies: uint16 ``[n]``.
      code: int64 ``[n]``: number of the step that dropped a sample, ``KEPT`` or ``REJECTED``.
      numbers: name that the report shows -> numbers ``[n]``; anything where a sample is rejected.
      turns: of all steps; empty where they need not be applied again.
    """

    uid: UInt64
    copies: NDArray[np.uint16]
    code: Int64
    numbers: Mapping[str, NDArray[Any]]
    turns: Sequence[recipes.Turn]

    @property
    def valid(self) -> Bool:
        """bool ``[n]``: the samples that were not rejected."""
        valid: Bool = self.code != recipes.REJECTED
        return valid

    @property
    def kept(self) -> Bool:
        """bool ``[n]``: the samples that have a copy in the output."""
        kept: Bool = self.code == recipes.KEPT
        return kept


def labels_of(recipe: recipes.Recipe) -> list[str]:
    """Returns the names of codes: those of the steps, then ``REJECTED`` and ``KEPT`` from the end."""
    return [*(step.label for step in recipe.steps), "rejected", ""]


def read(store: Store, source: DecidedShard, settings: SurveySettings, states: SolvedStates) -> ShardValues:
    """Reads a shard that was decided, from a store that is held."""
    table = store.read(DECISIONS, source.name, ["copies", "step"])
    labels = labels_of(settings.select.recipe)
    found = pc.index_in(table["step"], value_set=pa.array(labels)).to_numpy().astype(np.int64)
    code = np.where(found >= len(labels) - 2, found - len(labels), found)
    arrays = store.arrays(source.name, {"uid": (columns.INDEX, "uid"), **settings.numbers})
    turns: list[recipes.Turn] = []
    if settings.replays():
        recipe = settings.select.recipe
        block = settings.select.reader.of(store).block(ShardRef(source.name, source.uri, 0), recipe.inputs())
        turns = list(recipes.replay(recipe.steps, block, states.states))
    made = {name: values for turn in turns for name, values in turn.step.derive(turn.before, turn.state).items()}
    numbers = {name: values for name, values in {**arrays, **made}.items() if name != "uid"}
    return ShardValues(arrays["uid"], table["copies"].to_numpy(), code, numbers, turns)
