"""Why a sample was kept or dropped: its way through the steps of a solved recipe, in values and in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes import recipe as recipes
from transforms.lib.recipes.contract.step import Step

Fact = float | int | str


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict of one step on one sample.

    Attributes:
      label, sentence: of the step.
      depth: 0 for a step of the recipe, 1 for a part of one, and so on.
      values: column -> value that the step judged by; embeddings in words.
      bounds: what was fitted on the pool, or set.
      margin: how far inside (positive) or outside, in the column's unit.
      verdict: ``kept``, ``dropped``, or ``not asked`` where an earlier step dropped it.
      copies: that it left.
    """

    label: str
    sentence: str
    depth: int
    values: Mapping[str, Fact]
    bounds: Mapping[str, Fact]
    margin: Fact
    verdict: str
    copies: int


def judge(steps: Sequence[Step], states: Sequence[Any], block: Block, rows: Sequence[int]) -> list[list[Judgement]]:
    """Replays solved steps over a shard and notes their verdicts on some of its rows.

    Args:
      steps: of the recipe.
      states: the solved state of each.
      block: the whole shard, with every column of the store that the recipe reads.
      rows: to follow.

    Returns:
      for each row its judgements, in the order of the steps, parts of a step behind it.
    """
    found: list[list[Judgement]] = [[] for _ in rows]
    for turn in recipes.replay(steps, block, states):
        for depth, step, state in _with_parts(turn.step, turn.state, 0):
            verdict = turn.verdict if step is turn.step else step.apply(turn.before, state)
            bounds = {name: json_value(value) for name, value in step.facts(state).items()}
            for row, judgements in zip(rows, found, strict=True):
                reached = bool(turn.before.alive[row])
                copies = int(verdict.copies[row]) if reached else 0
                judgements.append(
                    Judgement(
                        step.label,
                        step.sentence(),
                        depth,
                        {name: _value(turn.before.columns[name], row) for name in step.inputs() if name != "uid"},
                        bounds,
                        json_value(verdict.margin[row]),
                        "kept" if copies else "dropped" if reached else "not asked",
                        copies,
                    )
                )
    return found


def _with_parts(step: Step, state: Any, depth: int) -> Iterator[tuple[int, Step, Any]]:
    yield depth, step, state
    if step.nested():
        for part, one in zip(step.nested(), state.states, strict=True):
            yield from _with_parts(part, one, depth + 1)


def _value(column: np.ndarray, row: int) -> Fact:
    if column.ndim > 1:
        return f"{column.shape[1]} numbers"
    return json_value(column[row])


def json_value(value: Any) -> Fact:
    """Returns a number or a text as JSON has it; what is not finite as text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, float | int | str) else str(value)


def not_finite(block: Block, names: Sequence[str], row: int) -> list[str]:
    """Returns the float columns whose lack of a finite value rejects a row."""
    columns = ((name, block.columns[name]) for name in names if name != "uid")
    return [
        n for n, values in columns if values.dtype.kind == "f" and values.ndim == 1 and not np.isfinite(values[row])
    ]


def text_of(found: Mapping[str, Any]) -> str:
    """Returns an explanation for people.

    Args:
      found: uid, shard, row, key, caption, outcome, copies, margin, places of its copies in the output, and steps as
        mappings of ``Judgement``.
    """
    lines = [
        f"{found['uid']}  {found['outcome']}",
        f"  shard {found['shard']}, row {found['row']}, key {found['key'] or 'none'}",
        f"  caption {found['caption']!r}",
    ]
    lines += [f"  in {place}" for place in found.get("places", ())]
    for step in found["steps"]:
        indent = "  " * (step["depth"] + 1)
        lines.append(f"{indent}{step['label']}: {step['verdict']}{_margin(step)}. {step['sentence']}")
        for title, facts in (("judged by", step["values"]), ("bounds", step["bounds"])):
            if facts:
                lines.append(f"{indent}  {title} {', '.join(f'{n} = {_shown(v)}' for n, v in facts.items())}")
    return "\n".join(lines)


def _margin(step: Mapping[str, Any]) -> str:
    if step["verdict"] == "not asked" or not isinstance(step["margin"], float):
        return ""
    copies = f", {step['copies']} copies" if step["copies"] > 1 else ""
    return f", margin {step['margin']:+.6g}{copies}"


def _shown(value: Fact) -> str:
    return f"{value:.9g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
