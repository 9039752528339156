"""Mix score columns into one: a weighted sum of columns, standardised first where ``standardise`` is set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.arrays import Float32, Float64, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import LARGEST, Step, Verdict
from transforms.lib.stats import exact_sums, quantiles
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary


@record("mix/1", formerly="mixing.MixState")
class MixState(NamedTuple):
    """What standardising needs to know of each column, columns sorted by name.

    Attributes:
      rows: valid samples measured.
      mean: of each column.
      std: population standard deviation of each column.
    """

    rows: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Mix(Step):
    """Makes a column: the weighted sum of others. Drops nothing.

    With ``standardise`` each column first loses its mean and is divided by its standard deviation, both over all valid
    samples of the pool, whatever earlier steps dropped, and both exact (``stats.exact_sums``): the new column is the
    same to the last bit under any split of the pool. A column that is constant adds nothing.

    Cost: one round that reads the columns and merges 6 KiB per column; without ``standardise`` an idle one. The sum
    is taken in float64, by sorted column names, and stored nowhere.

    Source: M-FLYT (Shechter and Carmon 2025, arXiv:2503.08805), a linear layer over twelve scores. Its training code
    normalises nothing, so its columns must come standardised; weights of comparable size say that they did.

    Attributes:
      weights: column -> weight.
      standardise: whether columns are brought to mean 0 and variance 1 first.
      as_: name of the new column, float32, or float64 where an input is wider; ``as`` in a recipe.
    """

    kind = "mix"
    rounds = 1
    carries = True
    sees_earlier = False

    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    standardise: bool = True
    as_: str = "mixed_score"

    def faults(self) -> list[str]:
        if not self.weights:
            return [f"{self.label}.weights is empty; give each column its weight, for example {{dfn_ft: 0.8}}"]
        return [
            f"{self.label}.weights: the weight of {column} must be a finite number, got {weight!r}"
            for column, weight in self.weights.items()
            if isinstance(weight, bool) or not isinstance(weight, int | float) or not abs(weight) <= LARGEST
        ]

    def inputs(self) -> tuple[str, ...]:
        return tuple(sorted(self.weights))

    def score(self) -> None:
        return None

    def makes(self) -> tuple[str, ...]:
        return (self.as_,)

    def needs(self, state: Any) -> tuple[str, ...]:
        return self.inputs() if self.standardise else ()

    def summarise(self, block: Block, state: Any) -> tuple[int, Int64]:
        sums = [exact_sums.sums(block.columns[name][block.valid]) for name in self.inputs()]
        return int(block.valid.sum()), np.stack(sums)

    def merge(self, left: tuple[int, Int64], right: tuple[int, Int64]) -> tuple[int, Int64]:
        return left[0] + right[0], left[1] + right[1]

    def solve(self, state: Any, summary: tuple[int, Int64] | None) -> MixState:
        if not self.standardise:
            return MixState(0, (0.0,) * len(self.weights), (1.0,) * len(self.weights))
        if summary is None or summary[0] == 0:
            raise EmptyPoolError(f"{self.label}: no sample has all of {', '.join(self.inputs())}")
        rows, totals = summary
        moments = [exact_sums.moments(total, rows) for total in totals]
        return MixState(rows, tuple(one.mean for one in moments), tuple(one.std for one in moments))

    def remembered_as(self) -> dict[str, Any]:
        return {"kind": self.kind, "columns": list(self.inputs())}

    def remember(self, block: Block) -> Arrays:
        rows, sums = self.summarise(block, None)
        return {"rows": np.array([rows], np.int64), "sums": sums}

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        return {name: np.sum([part[name] for part in parts], axis=0) for name in ("rows", "sums")}

    def recall(self, memory: CrawlSummary, state: Any) -> tuple[int, Int64]:
        return int(memory.whole("rows")[0]), memory.whole("sums")

    def derive(self, block: Block, state: MixState) -> dict[str, Float32 | Float64]:
        total, wide = np.zeros(len(block.valid)), False
        for name, mean, std in zip(self.inputs(), state.mean, state.std, strict=True):
            values = np.where(block.valid, block.columns[name], 0)
            values = values if (exact := quantiles.is_wide(values.dtype)) else values.astype(np.float32)
            wide = wide or exact
            if std > 0:
                total += (values - np.float64(mean)) / std * float(self.weights[name])
        largest = np.finfo(np.float32).max
        kind = np.float64 if wide else np.float32
        mixed = np.clip(total, -largest, largest).astype(kind)
        return {self.as_: np.where(block.valid, mixed, kind(np.nan))}

    def apply(self, block: Block, state: MixState) -> Verdict:
        return Verdict(block.copies, np.full(len(block.valid), np.inf, np.float32))

    def sentence(self) -> str:
        parts = " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())
        how = ", each standardised to mean 0 and variance 1" if self.standardise else ""
        return f"Make the column {self.as_} = {parts}{how}."

    def facts(self, state: MixState) -> dict[str, float | int | str]:
        if not self.standardise:
            return {}
        names = self.inputs()
        means = {f"mean of {name}": value for name, value in zip(names, state.mean, strict=True)}
        stds = {f"std of {name}": value for name, value in zip(names, state.std, strict=True)}
        return {"of": state.rows, **means, **stds}
