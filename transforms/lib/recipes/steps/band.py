"""The top of a column but not the very top: what lies between two exact quantiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import NUMBER, UID, Step, Verdict
from transforms.lib.recipes.steps.top_fraction import TopFraction, TopState
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary


@record("band/1", formerly="band.BandState")
class BandState(NamedTuple):
    """What is known of the two bounds.

    Attributes:
      outer: of the top that is kept.
      inner: of the top of it that is dropped.
    """

    outer: TopState
    inner: TopState


@dataclasses.dataclass(frozen=True)
class Band(Step):
    """Keeps the samples in the top ``fraction`` of a column that are not in its top ``drop``.

    Both tops are exact and broken by the same tie order, as ``TopFraction`` has it, so exactly
    ``floor(fraction * N + 1/2) - floor(drop * N + 1/2)`` samples are kept. It drops the pairs that score best for the
    wrong reason, such as images of the caption's own words.

    The margin is the distance to the nearer of the two thresholds, negative outside.

    Cost: that of two ``TopFraction`` in the same rounds.

    Source: DataComp's "top a % - 30 %" (Gadre et al. 2023, arXiv:2304.14108, appendix), dropping 1, 2 or 5 %.

    Attributes:
      column: a float column.
      drop: share dropped from the top, in (0, 1).
      fraction: share whose rest is kept, in (drop, 1].
      of: ``pool`` or ``remaining``, as for ``top_fraction``.
      seed: of the tie order.
    """

    kind = "band"
    rounds = TopFraction.rounds
    narrow_rounds = TopFraction.narrow_rounds
    carries = True

    column: str = "score"
    drop: float = 0.01
    fraction: float = 0.3
    of: str = "pool"
    seed: int = 0

    @property
    def tops(self) -> tuple[TopFraction, TopFraction]:
        """The outer and the inner top."""
        outer, inner = (
            TopFraction(label=self.label, column=self.column, fraction=share, of=self.of, seed=self.seed)
            for share in (self.fraction, self.drop)
        )
        return outer, inner

    def faults(self) -> list[str]:
        problems = self.tops[0].faults()
        if not 0 < self.drop < self.fraction:
            problems.append(
                f"{self.label}.drop must be above 0 and below fraction ({self.fraction}), got {self.drop}; "
                "0.01 drops the best 1 %"
            )
        return problems

    def input_types(self) -> tuple[str, ...]:
        return (NUMBER, UID)

    def inputs(self) -> tuple[str, ...]:
        return self.tops[0].inputs()

    def start(self) -> BandState:
        return BandState(*(top.start() for top in self.tops))

    def needs(self, state: BandState) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for top, one in zip(self.tops, state, strict=True) for n in top.needs(one)))

    def summarise(self, block: Block, state: BandState) -> tuple[Any, Any]:
        outer, inner = (
            top.summarise(block, one) if top.needs(one) else None for top, one in zip(self.tops, state, strict=True)
        )
        return outer, inner

    def merge(self, left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
        outer, inner = (
            None if one is None else top.merge(one, other)
            for top, one, other in zip(self.tops, left, right, strict=True)
        )
        return outer, inner

    def solve(self, state: BandState, summary: tuple[Any, Any] | None) -> BandState:
        parts = summary or (None, None)
        return BandState(*(top.solve(one, part) for top, one, part in zip(self.tops, state, parts, strict=True)))

    def remembered_as(self) -> dict[str, Any]:
        return {**self.tops[0].remembered_as(), "kind": self.kind}

    def remember(self, block: Block) -> Arrays:
        return self.tops[0].remember(block)

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        return self.tops[0].join(parts)

    def recall(self, memory: CrawlSummary, state: BandState) -> tuple[Any, Any]:
        outer, inner = (
            top.recall(memory, one) if top.needs(one) else None for top, one in zip(self.tops, state, strict=True)
        )
        return outer, inner

    def apply(self, block: Block, state: BandState) -> Verdict:
        outer, inner = (top.apply(block, one) for top, one in zip(self.tops, state, strict=True))
        inside = (outer.copies > 0) & (inner.copies == 0)
        return Verdict.of(block, inside, np.minimum(outer.margin, -inner.margin))

    def sentence(self) -> str:
        whom = "all samples" if self.of == "pool" else "the samples that are left"
        return (
            f"Keep the top {100 * self.fraction:.4g} % of {whom} by {self.column}, but not the top "
            f"{100 * self.drop:.4g} %; ties are broken by uid, seed {self.seed}."
        )

    def facts(self, state: BandState) -> dict[str, float | int | str]:
        outer, inner = (top.facts(one) for top, one in zip(self.tops, state, strict=True))
        return {**outer, "keep": state.outer.keep - state.inner.keep, "threshold_of_dropped": inner["threshold"]}
