"""Bring a column of scores to the scale on which Soft Cap Sampling draws a wanted share of different samples."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.arrays import Float32, Float64, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import CapacityError, EmptyPoolError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import Step, Verdict
from transforms.lib.recipes.sampling import draw_rules
from transforms.lib.stats import quantiles

_GRID = 256  # scales are 2 ** (n / 256), so that the last bits of an estimate, which machines differ in, do not matter
_OCTAVES = 12  # scales from 2 ** -12 to 2 ** 12


@record("temper/1")
class TemperState(NamedTuple):
    """The scale that was found.

    Attributes:
      rows: samples that take part.
      scale: what scores are multiplied by.
      unique: different samples among the copies that are then expected, as a share of the copies.
    """

    rows: int
    scale: float
    unique: float


@dataclasses.dataclass(frozen=True)
class Temper(Step):
    """Makes a column: another one times a scale at which a wanted share of the copies drawn are different samples.

    Soft Cap Sampling reads its column as log-odds. A FLYT head is trained on that scale; a mix of scores is not: only
    the order of M-FLYT's scores is learnt well, and as learnt it draws far too softly. The scale is found by bisection
    over the mean-field number of copies (``draw_rules.expected``), from counts of the scores; it is one of
    2 ** (n / 256), so the share is met within about 1 %. Drops nothing.

    Cost: one round that reads the column and merges 1 MiB.

    Source: Winnow's own; the scale takes the place of weights set by hand before ``soft_cap_sample`` of FLYT (Shechter
    and Carmon 2025, arXiv:2503.08805).

    Attributes:
      column: a float column.
      unique: different samples wanted, as a share of the copies drawn, in (0, 1).
      total: copies that will be drawn; 0 = as many as samples take part. As in ``soft_cap_sample``.
      alpha: penalty per copy, as in ``soft_cap_sample``.
      as_: name of the new column, float32, or float64 where ``column`` is wider; ``as`` in a recipe.
    """

    kind = "temper"
    rounds = 1

    column: str = "mixed_score"
    unique: float = 0.3
    total: int = 0
    alpha: float = 0.15
    as_: str = "tempered_score"

    def faults(self) -> list[str]:
        problems = []
        if not 0 < self.unique < 1:
            problems.append(f"{self.label}.unique must be in (0, 1), got {self.unique}; 0.3 is a usual share")
        if self.total < 0:
            problems.append(
                f"{self.label}.total must be at least 0 (0 = as many as samples take part), got {self.total}"
            )
        if not 0 <= self.alpha <= 1e6:
            problems.append(f"{self.label}.alpha must be in [0, 1e6], got {self.alpha}; published: 0.15 and 0.25")
        return problems

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def score(self) -> None:
        return None

    def makes(self) -> tuple[str, ...]:
        return (self.as_,)

    def summarise(self, block: Block, state: Any) -> Int64:
        return draw_rules.count_scores(quantiles.rounded(block.columns[self.column][block.alive]))

    def merge(self, left: Int64, right: Int64) -> Int64:
        return left + right

    def solve(self, state: Any, summary: Int64 | None) -> TemperState:
        rows = 0 if summary is None else int(summary[0].sum())
        if summary is None or rows == 0:
            raise EmptyPoolError(f"{self.label}: no sample is left that has {self.column}")
        total = self.total or rows
        low, high = -_OCTAVES * _GRID, _OCTAVES * _GRID
        most, least = (draw_rules.unique_share(summary, 2.0 ** (n / _GRID), total, self.alpha) for n in (low, high))
        if not least <= self.unique <= most:
            raise CapacityError(
                f"{self.label}: of {total} copies of {rows} samples, a share of {least:.3g} to {most:.3g} can be "
                f"different samples, whatever the scale of {self.column}, and unique is {self.unique:g}; take a value "
                "between them"
            )
        while high - low > 1:
            middle = (low + high) // 2
            share = draw_rules.unique_share(summary, 2.0 ** (middle / _GRID), total, self.alpha)
            low, high = (middle, high) if share > self.unique else (low, middle)
        scale = 2.0 ** (high / _GRID)
        return TemperState(rows, scale, draw_rules.unique_share(summary, scale, total, self.alpha))

    def derive(self, block: Block, state: TemperState) -> dict[str, Float32 | Float64]:
        column = block.columns[self.column]
        values = np.where(block.valid, column, 0).astype(np.float64) * state.scale
        largest = np.finfo(np.float32).max
        kind = np.float64 if quantiles.is_wide(column.dtype) else np.float32
        tempered = np.clip(values, -largest, largest).astype(kind)
        return {self.as_: np.where(block.valid, tempered, kind(np.nan))}

    def apply(self, block: Block, state: TemperState) -> Verdict:
        return Verdict(block.copies, np.full(len(block.valid), np.inf, np.float32))

    def sentence(self) -> str:
        copies = f"{self.total} copies" if self.total else "as many copies as samples"
        return (
            f"Make the column {self.as_} = {self.column} times a scale at which {100 * self.unique:.4g} % of {copies}, "
            f"drawn with a penalty of {self.alpha:g} per copy, are different samples."
        )

    def facts(self, state: TemperState) -> dict[str, float | int | str]:
        return {"of": state.rows, "scale": state.scale, "unique expected": state.unique}
