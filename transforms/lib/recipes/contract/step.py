"""The contract of a recipe step, and the steps themselves: pure numpy, no Beam, no files.

A step runs in a fixed number of rounds. In each round every shard is summarised, the summaries are
merged in any order, and the merged one is solved into the next state:

    state = start()
    for _ in range(rounds):
        state = solve(state, merge of summarise(block, state) over all shards)
    verdict = apply(block, state)                       for every shard
    columns for later steps = derive(block, state)      wherever they are needed

Summaries are what crosses the network; their size must not grow with the pool.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32
from transforms.lib.columnstore.block import Block
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary

NUMBER, TEXT, EMBEDDING, UID = "a number", "text", "an embedding", "a uid"  # what a step reads of a sample
TRUTH, FLAG = "a truth value", "a truth value, a number or text"  # the last is any of these three
LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a step says of each row of a block.

    Attributes:
      copies: uint16 ``[n]``; 0 drops the sample. A step never revives what an earlier one dropped.
      margin: float32 ``[n]``; how far inside (positive) or outside the step's bound, in its column's unit.
    """

    copies: NDArray[np.uint16]
    margin: Float32

    @classmethod
    def of(cls, block: Block, inside: Bool, margin: NDArray[Any]) -> Verdict:
        """Returns the verdict that keeps the copies of the rows ``inside``; bool ``[n]``."""
        copies = np.where(block.alive & inside, block.copies, 0).astype(np.uint16)
        return cls(copies, margin.astype(np.float32))


def _unusable(name: str, value: object) -> str:
    """Returns what is wrong with a parameter if it is a number that no step can work with; empty otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if name == "seed":
        return "" if 0 <= value < 1 << 64 else f"must be in 0 .. 2**64 - 1, got {value}"
    if isinstance(value, int):
        return "" if -(1 << 63) <= value < 1 << 63 else f"must be in -2**63 .. 2**63 - 1, got {value}"
    if abs(value) <= LARGEST:
        return ""
    return f"must be a finite number of at most {LARGEST:g}, what float32 holds, got {value}"


@dataclasses.dataclass(frozen=True)
class Step(abc.ABC):
    """One stage of a recipe; fields are its parameters, all checked by ``problems``.

    Attributes:
      label: unique name inside the recipe; decisions and books use it.
    """

    kind: ClassVar[str]
    rounds: ClassVar[int] = 0
    narrow_rounds: ClassVar[int | None] = None  # enough where float32 holds all that it reads; None for all rounds
    files: ClassVar[tuple[str, ...]] = ()  # parameters that name a file; steps find it in Block.files
    repeats: ClassVar[bool] = False  # it decides how many copies, not only whether
    carries: ClassVar[bool] = False  # what it fits on other pools holds for this one, and it can remember samples
    sees_earlier: ClassVar[bool] = True  # what it fits depends on what earlier steps dropped

    label: str

    def problems(self) -> list[str]:
        """Returns what is wrong with the parameters, one line each with its hint.

        Numbers that no step can work with are reported here: those that are not finite or beyond float32, whole ones
        beyond int64, and a seed beyond uint64.
        """
        values = [(field.name, getattr(self, field.name)) for field in dataclasses.fields(self)]
        found = {f"{self.label}.{name} ": wrong for name, value in values if (wrong := _unusable(name, value))}
        rest = [line for line in self.faults() if not line.startswith(tuple(found))]
        return [name + wrong for name, wrong in found.items()] + rest

    def faults(self) -> list[str]:
        """Returns what else is wrong with parameters, one line each, its parameter first, with its hint."""
        return []

    def as_dict(self) -> dict[str, Any]:
        """Returns kind, label and parameters as plain values, under the names that YAML has."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.kind, **{name.rstrip("_"): value for name, value in values.items()}}

    def nested(self) -> tuple[Step, ...]:
        """Returns the steps that this one is made of."""
        return ()

    def flat(self) -> Iterator[Step]:
        """Yields this step, then all that it is made of."""
        yield self
        for part in self.nested():
            yield from part.flat()

    def named_files(self, root: str) -> dict[str, str]:
        """Returns ``label.parameter`` -> address of every file that the step names.

        Args:
          root: the output folder that is selected from, where a file may lie that no parameter names.
        """
        return {f"{self.label}.{name}": str(getattr(self, name)) for name in self.files}

    def check_files(self, files: Mapping[str, str]) -> None:
        """Checks the files that ``files`` names, by ``label.parameter`` -> local path, before anything starts.

        Raises:
          InputError: one of them cannot be used.
        """
        return None

    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Returns the columns that ``apply`` reads; a NaN in a float one rejects the sample."""

    def input_types(self) -> tuple[str, ...]:
        """Returns what each of ``inputs()`` must hold.

        Returns:
          for each ``NUMBER``, whole or not, ``TEXT``, ``EMBEDDING``, ``UID`` or ``FLAG``.
        """
        return (NUMBER,) * len(self.inputs())

    @abc.abstractmethod
    def apply(self, block: Block, state: Any) -> Verdict:
        """Returns the verdict on ``block`` under the solved ``state``."""

    @abc.abstractmethod
    def sentence(self) -> str:
        """Returns what the step does, in words."""

    def score(self) -> str | None:
        """Returns the float column by which the step decides, for the report; None when there is none."""
        return next((name for name in self.inputs() if name != "uid"), None)

    def makes(self) -> tuple[str, ...]:
        """Returns the names of the columns that the step makes for later ones; none of them is in the store."""
        return ()

    def derive(self, block: Block, state: Any) -> Mapping[str, NDArray[Any]]:
        """Returns the columns that ``makes`` names, each ``[n]``, finite where ``block.valid`` and NaN elsewhere.

        They are never stored: whoever needs them derives them again from the same block and state.
        """
        return {}

    def hint(self, column: str) -> str:
        """Returns how to get a column that the store lacks; empty when there is nothing special to say."""
        return ""

    def needs(self, state: Any) -> tuple[str, ...]:
        """Returns the columns that the next ``summarise`` reads; empty when that round is idle.

        An idle round reads nothing, and ``solve`` gets None for its summary.
        """
        return self.inputs()

    def start(self) -> Any:
        """Returns the state before the first round."""
        return None

    def summarise(self, block: Block, state: Any) -> Any:
        """Returns the summary of one shard, of bounded size."""
        raise NotImplementedError(f"{self.kind} has no rounds")

    def merge(self, left: Any, right: Any) -> Any:
        """Returns the summary of both; associative and commutative."""
        raise NotImplementedError(f"{self.kind} has no rounds")

    def solve(self, state: Any, summary: Any) -> Any:
        """Returns the next state from the summary of the whole pool."""
        raise NotImplementedError(f"{self.kind} has no rounds")

    @property
    def fits(self) -> bool:
        """Whether anything is found out in its rounds."""
        return bool(self.rounds and self.needs(self.start()))

    def remembered_as(self) -> dict[str, Any]:
        """Returns the parameters on which ``remember``, and the verdict that later steps see, depend."""
        return self.as_dict()

    def remember(self, block: Block) -> Arrays:
        """Returns what ``recall`` needs of the samples of one shard, as named arrays; of a step that ``carries``."""
        raise NotImplementedError(f"{self.kind} remembers nothing")

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        """Returns the arrays of many shards together, at least one, the same in any order."""
        raise NotImplementedError(f"{self.kind} remembers nothing")

    def recall(self, memory: CrawlSummary, state: Any) -> Any:
        """Returns the summary of the samples remembered: what merging ``summarise`` of their blocks would give.

        Only where samples are equal to the last bit of their hash may it differ from that: those remembered then stand
        before all others.
        """
        raise NotImplementedError(f"{self.kind} remembers nothing")

    def facts(self, state: Any) -> dict[str, float | int | str]:
        """Returns what was fitted, for the manifest and the report."""
        return {}
