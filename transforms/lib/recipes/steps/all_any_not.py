"""Steps made of steps: all of them, any of them, not this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import Step, Verdict
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary, SummaryView, prefixed


@record("composed/1", formerly="composition.PartStates")
class PartStates(NamedTuple):
    """What is known of the parts of a composed step.

    Attributes:
      round: rounds done.
      states: of each part.
    """

    round: int
    states: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Composed(Step):
    """Applies several steps to the same samples and joins their verdicts.

    All parts see what the earlier steps of the recipe left, not what the other parts leave, and are fitted in the same
    rounds. They count as filters: a sample that is kept keeps the copies it had. Parts that make columns or draw copies
    are refused.

    Attributes:
      parts: the steps, with labels of their own.
    """

    joins: ClassVar[str]  # how the sentences of the parts are joined

    parts: tuple[Step, ...] = ()

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """As many as the part with the most."""
        return max((part.rounds for part in self.parts), default=0)

    @property
    def narrow_rounds(self) -> int:  # type: ignore[override]
        """As many as the part with the most, where float32 holds all that is read."""
        return max(
            (part.rounds if part.narrow_rounds is None else part.narrow_rounds for part in self.parts), default=0
        )

    @property
    def carries(self) -> bool:  # type: ignore[override]
        """Whether every part that fits anything does."""
        return all(part.carries for part in self.parts if part.fits)

    def nested(self) -> tuple[Step, ...]:
        return self.parts

    def faults(self) -> list[str]:
        problems = [line for part in self.parts for line in part.problems()]
        problems += [
            f"{part.label} makes columns or copies and cannot be a part of {self.label}; make it a step of its own"
            for part in self.parts
            if part.makes() or part.repeats
        ]
        if not self.parts:
            problems.append(f"{self.label} has no parts; write '{self.kind}: [{{threshold: ...}}, ...]'")
        return problems

    def as_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "label": self.label, "parts": [part.as_dict() for part in self.parts]}

    def named_files(self, root: str) -> dict[str, str]:
        return {name: address for part in self.parts for name, address in part.named_files(root).items()}

    def check_files(self, files: Mapping[str, str]) -> None:
        for part in self.parts:
            part.check_files(files)

    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts for name in part.inputs()))

    def hint(self, column: str) -> str:
        return next((part.hint(column) for part in self.parts if part.hint(column)), "")

    def score(self) -> str | None:
        return next((part.score() for part in self.parts if part.score()), None)

    def start(self) -> PartStates:
        return PartStates(0, tuple(part.start() for part in self.parts))

    def _needs(self, state: PartStates) -> list[tuple[str, ...]]:
        """Returns what each part's next round reads; nothing for one that has had all its rounds."""
        pairs = zip(self.parts, state.states, strict=True)
        return [part.needs(one) if state.round < part.rounds else () for part, one in pairs]

    def needs(self, state: PartStates) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for names in self._needs(state) for name in names))

    def summarise(self, block: Block, state: PartStates) -> tuple[Any, ...]:
        parts = zip(self.parts, state.states, self._needs(state), strict=True)
        return tuple(part.summarise(block, one) if names else None for part, one, names in parts)

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        pairs = zip(self.parts, left, right, strict=True)
        return tuple(None if one is None else part.merge(one, other) for part, one, other in pairs)

    def solve(self, state: PartStates, summary: tuple[Any, ...] | None) -> PartStates:
        summaries = summary or (None,) * len(self.parts)
        solved = tuple(
            part.solve(one, own) if state.round < part.rounds else one
            for part, one, own in zip(self.parts, state.states, summaries, strict=True)
        )
        return PartStates(state.round + 1, solved)

    def _fitted(self) -> list[tuple[str, Step]]:
        """Returns the parts that fit something, each with what the names of its arrays begin with."""
        return [(f"{number}/", part) for number, part in enumerate(self.parts) if part.fits]

    def remembered_as(self) -> dict[str, Any]:
        return {"kind": self.kind, "parts": [part.remembered_as() for part in self.parts]}

    def remember(self, block: Block) -> Arrays:
        return {n: a for prefix, part in self._fitted() for n, a in prefixed(prefix, part.remember(block)).items()}

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        joined: dict[str, NDArray[Any]] = {}
        for prefix, part in self._fitted():
            own = [{n.removeprefix(prefix): a for n, a in one.items() if n.startswith(prefix)} for one in parts]
            joined |= prefixed(prefix, part.join(own))
        return joined

    def recall(self, memory: CrawlSummary, state: PartStates) -> tuple[Any, ...]:
        parts = enumerate(zip(self.parts, state.states, self._needs(state), strict=True))
        return tuple(
            part.recall(SummaryView(memory, f"{number}/"), one) if names else None
            for number, (part, one, names) in parts
        )

    def facts(self, state: PartStates) -> dict[str, float | int | str]:
        pairs = zip(self.parts, state.states, strict=True)
        return {f"{part.label}.{name}": fact for part, one in pairs for name, fact in part.facts(one).items()}

    def sentence(self) -> str:
        return f" {self.joins} ".join(f"({part.sentence().rstrip('.')})" for part in self.parts) + "."

    def apply(self, block: Block, state: PartStates) -> Verdict:
        verdicts = [part.apply(block, one) for part, one in zip(self.parts, state.states, strict=True)]
        inside, margin = self._join(
            np.stack([verdict.copies > 0 for verdict in verdicts]), np.stack([verdict.margin for verdict in verdicts])
        )
        return Verdict.of(block, inside, margin)

    def _join(self, inside: Bool, margin: Float32) -> tuple[Bool, Float32]:
        """Joins the verdicts of the parts; bool and float32 ``[parts, n]`` to ``[n]``."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class AllOf(Composed):
    """Keeps samples that every part keeps; the margin is the smallest of the parts'.

    Unlike steps one after another, no part sees what another dropped: ``of: remaining`` counts the same for all.
    """

    kind = "all_of"
    joins = "and"

    def _join(self, inside: Bool, margin: Float32) -> tuple[Bool, Float32]:
        return np.asarray(inside.all(0), bool), margin.min(0)


@dataclasses.dataclass(frozen=True)
class AnyOf(Composed):
    """Keeps samples that at least one part keeps; the margin is the largest of the parts'."""

    kind = "any_of"
    joins = "or"

    def _join(self, inside: Bool, margin: Float32) -> tuple[Bool, Float32]:
        return np.asarray(inside.any(0), bool), margin.max(0)


@dataclasses.dataclass(frozen=True)
class Not(Composed):
    """Keeps samples that its one part would drop; the margin is the part's with the sign changed."""

    kind = "not"
    joins = "and"

    def faults(self) -> list[str]:
        problems = super().faults()
        if len(self.parts) > 1:
            problems.append(f"{self.label} takes one step, got {len(self.parts)}; put them into any_of or all_of")
        return problems

    def sentence(self) -> str:
        return f"Drop what this would keep: {super().sentence()}"

    def _join(self, inside: Bool, margin: Float32) -> tuple[Bool, Float32]:
        return ~inside[0], -margin[0]
