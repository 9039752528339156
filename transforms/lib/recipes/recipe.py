"""Recipes: named lists of steps, replayed over blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.arrays import Float32, numpy_type
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError
from transforms.lib.recipes.contract.step import EMBEDDING, FLAG, NUMBER, TEXT, TRUTH, UID, Step, Verdict
from transforms.lib.stats import quantiles

KEPT = -1
REJECTED = -2


_EXAMPLES = {
    NUMBER: "a column of numbers, such as the score of a network",
    TEXT: "a column of text, such as index.caption or language.label",
    EMBEDDING: "a column of embeddings, such as the image of a network",
    UID: "uid",
    FLAG: "a column such as index.opt_out",
}

_FITS = {FLAG: (TRUTH, NUMBER, TEXT)}
"""What a step reads -> what a column may hold for it, where that is more than one thing."""


def _held(name: str, kind: pa.DataType) -> str:
    """Returns what a column of a type holds, in the words of ``Step.input_types``."""
    if name == "uid":
        return UID
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return NUMBER
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TEXT
    if pa.types.is_boolean(kind):
        return TRUTH
    return EMBEDDING if pa.types.is_fixed_size_list(kind) else str(kind)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A pure function from columns to copies, in steps.

    Attributes:
      name: what reports call it.
      source: the paper and section it comes from.
      steps: applied in order; labels are unique.
    """

    name: str
    source: str
    steps: tuple[Step, ...]

    def inputs(self) -> tuple[str, ...]:
        """Returns every column of the store that a step reads, without repeats, in order of first use."""
        return stored_inputs(self.steps)

    def check_made(self, sets: Mapping[str, Sequence[str]]) -> None:
        """Checks that no column that a step makes is in the store (column set -> columns) already.

        Raises:
          ConfigError: one is, so that its name would mean two things.
        """
        problems = [
            f"{step.label}: the column {name!r} that it makes is in column set {owner} already; "
            f"call it something else, for example mixed_{name}"
            for step in self.steps
            for name in step.makes()
            for owner, names in sorted(sets.items())
            if name in names
        ]
        if problems:
            raise ConfigError(problems)

    def check_types(self, types: Mapping[str, pa.DataType]) -> None:
        """Checks that every column is of the type that the steps which read it can use.

        Args:
          types: column of the store that a step reads -> its type; columns that steps make are numbers.

        Raises:
          ConfigError: some are not.
        """
        made = {name for step in self.steps for name in step.makes()}
        wanted = [(step, *pair) for step in self.flat() if not step.nested()
                  for pair in zip(step.inputs(), step.input_types(), strict=True)]  # fmt: skip
        problems = [
            f"{step.label} reads {name}, which holds {held}, and needs {needed}; name {_EXAMPLES[needed]}"
            for step, name, needed in wanted
            if (held := NUMBER if name in made else _held(name, types[name])) not in _FITS.get(needed, (needed,))
        ]
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))

    def wide(self, types: Mapping[str, pa.DataType]) -> frozenset[str]:
        """Returns the labels of the steps that read numbers which float32 cannot hold, stored or made.

        Args:
          types: column of the store that a step reads -> its type.
        """
        numbers = {name: kind for name, kind in types.items() if _held(name, kind) == NUMBER}
        wide = {name for name, kind in numbers.items() if quantiles.is_wide(numpy_type(kind))}
        found = set()
        for step in self.steps:
            if wide & set(step.inputs()):
                found.add(step.label)
                wide |= set(step.makes())
        return frozenset(found)

    def hints(self) -> dict[str, str]:
        """Returns column of the store -> how to get it, where a step knows."""
        return {name: step.hint(name) for step in self.steps for name in step.inputs() if step.hint(name)}

    def as_dict(self) -> dict[str, Any]:
        """Returns the recipe as plain values, for stamps and the manifest."""
        return {"name": self.name, "source": self.source, "steps": [step.as_dict() for step in self.steps]}

    def flat(self) -> Iterator[Step]:
        """Yields every step, the parts of composed ones after them."""
        for step in self.steps:
            yield from step.flat()


@dataclasses.dataclass(frozen=True)
class Decisions:
    """What a recipe decided for the rows of one shard.

    Attributes:
      copies: uint16 ``[n]``; 0 = not in the output.
      step: int16 ``[n]``; index of the step that dropped the row, ``KEPT`` or ``REJECTED``.
      margin: float32 ``[n]``; of the step that dropped the row, else the smallest margin of all steps;
        NaN for a rejected row, infinity under a recipe without steps.
    """

    copies: NDArray[np.uint16]
    step: NDArray[np.int16]
    margin: Float32


def stored_inputs(steps: Sequence[Step], more: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the columns of the store that ``steps`` read, then those of ``more``; what a step made is not in it."""
    found: dict[str, None] = {}
    made: set[str] = set()
    for step in steps:
        found.update(dict.fromkeys(name for name in step.inputs() if name not in made))
        made.update(step.makes())
    return tuple(found | dict.fromkeys(name for name in more if name not in made))


class Turn(NamedTuple):
    """One step's turn with a block: the block as it found it, its verdict, and the block as it left it."""

    step: Step
    state: Any
    before: Block
    verdict: Verdict
    after: Block


def replay(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> Iterator[Turn]:
    """Applies solved steps in order to the rows of one shard; arguments as for ``decide``."""
    block = dataclasses.replace(block, copies=block.valid.astype(np.uint16))
    for step, state in zip(steps, states, strict=True):
        verdict = step.apply(block, state)
        copies = np.where(block.copies > 0, verdict.copies, 0).astype(np.uint16)
        after = dataclasses.replace(block, copies=copies, columns={**block.columns, **step.derive(block, state)})
        yield Turn(step, state, block, verdict, after)
        block = after


def advance(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> Block:
    """Returns the block as the step after ``steps`` sees it: with the copies they leave and the columns they make."""
    block = dataclasses.replace(block, copies=block.valid.astype(np.uint16))
    for turn in replay(steps, block, states):
        block = turn.after
    return block


def decide(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> Decisions:
    """Applies solved steps in order to the rows of one shard.

    Args:
      steps: in order.
      block: all columns of the store that the steps read; its ``copies`` are ignored, every valid row starts with
        one copy.
      states: the solved state of each step.

    Returns:
      Decisions with every row kept, dropped by exactly one step, or rejected.
    """
    step_of = np.where(block.valid, KEPT, REJECTED).astype(np.int16)
    margin = np.where(block.valid, np.inf, np.nan).astype(np.float32)
    copies = block.valid.astype(np.uint16)
    for number, turn in enumerate(replay(steps, block, states)):
        copies = turn.after.copies
        dropped = (turn.before.copies > 0) & (copies == 0)
        step_of[dropped] = number
        margin[dropped] = turn.verdict.margin[dropped]
        margin[copies > 0] = np.minimum(margin, turn.verdict.margin)[copies > 0]
    return Decisions(copies, step_of, margin)
