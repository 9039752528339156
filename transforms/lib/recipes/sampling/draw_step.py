"""What all steps that draw copies have in common: who takes part, the rounds, the verdict."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Float64, Int64
from transforms.lib.columnstore.block import MAX_COPIES, Block
from transforms.lib.errors import CapacityError, EmptyPoolError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import NUMBER, UID, Step, Verdict
from transforms.lib.recipes.sampling import draw_rules, race
from transforms.lib.recipes.sampling.draw_rules import Candidates, Rules
from transforms.lib.recipes.sampling.race import Race
from transforms.lib.recipes.sampling.sequential import SequentialDraw
from transforms.lib.stats import quantiles


@record("draw/1", formerly="drawing.Draw")
class DrawState(NamedTuple):
    """What is known of a draw.

    Attributes:
      valid: samples of the pool that have a value.
      rows: samples that take part.
      counts: of their scores, while they may be needed.
      engine: None before the first round, and where nothing is drawn.
    """

    valid: int = 0
    rows: int = 0
    counts: Any = None
    engine: Race | SequentialDraw | None = None


@dataclasses.dataclass(frozen=True)
class Drawing(Step):
    """A step that draws copies; what it draws comes from ``_rules``.

    Attributes:
      seed: of the draws.
    """

    rounds = 1 + race.ROUNDS

    seed: int = 0

    def input_types(self) -> tuple[str, ...]:
        return (NUMBER, UID) if self.odds_column() else (UID,)

    def inputs(self) -> tuple[str, ...]:
        return (column, "uid") if (column := self.odds_column()) else ("uid",)

    def odds_column(self) -> str:
        """Returns the column whose exponential the odds are; empty for equal odds."""
        return ""

    def needs(self, state: DrawState) -> tuple[str, ...]:
        if state.rows == 0:
            return self.inputs()[:1]
        return () if state.engine is None or state.engine.done else self.inputs()

    def start(self) -> DrawState:
        return DrawState()

    @abc.abstractmethod
    def _rules(self, valid: int, rows: int) -> Rules:
        """Returns what to draw from a pool of ``valid`` samples, of which ``rows`` take part."""

    def _engine(self, rules: Rules, draw: DrawState) -> Race | SequentialDraw:
        return race.start(rules, draw.counts)

    def _scores(self, block: Block, alive: NDArray[np.intp]) -> Float64:
        column = self.odds_column()
        return block.columns[column][alive].astype(np.float64) if column else np.zeros(len(alive))

    def _candidates(self, block: Block) -> Candidates:
        alive = np.flatnonzero(block.alive)
        hashes = uids.keyed_hash(block.columns["uid"][alive], self.seed)
        return Candidates(block.shard, alive, self._scores(block, alive), hashes)

    def summarise(self, block: Block, state: DrawState) -> Any:
        if state.engine is None:
            scores = draw_rules.count_scores(quantiles.rounded(self._scores(block, np.flatnonzero(block.alive))))
            return int(block.valid.sum()), scores
        return state.engine.summarise(self._candidates(block))

    def merge(self, left: Any, right: Any) -> Any:
        if isinstance(left, tuple):
            return left[0] + right[0], left[1] + right[1]
        return np.concatenate([left, right]) if left.dtype.names else left + right

    def solve(self, state: DrawState, summary: Any) -> DrawState:
        if summary is None:
            if state.rows == 0:
                raise EmptyPoolError(f"{self.label}: the pool has no shard, so nothing can be drawn")
            return state
        if state.engine is None:
            return self._start_engine(*summary)
        engine = state.engine
        solved = engine.solve(summary, state.counts) if isinstance(engine, Race) else engine.solve(summary)
        return state._replace(engine=solved, counts=None if solved.done else state.counts)

    def _start_engine(self, valid: int, counts: Int64) -> DrawState:
        draw = DrawState(valid, int(counts[0].sum()), counts)
        if draw.rows == 0:
            raise EmptyPoolError(f"{self.label}: no sample is left to draw from")
        rules = self._rules(valid, draw.rows)
        most = draw.rows * min(rules.cap, MAX_COPIES)
        if rules.total > most:
            raise CapacityError(
                f"{self.label}: total {rules.total} is more than {draw.rows} samples can give at {most // draw.rows} "
                f"copies each; draw at most {most}"
            )
        return draw._replace(engine=self._engine(rules, draw)) if rules.total else draw._replace(counts=None)

    def apply(self, block: Block, state: DrawState) -> Verdict:
        copies = np.zeros(len(block.valid), np.int64)
        margin = np.full(len(block.valid), -np.inf, np.float32)
        if state.engine is not None:
            candidates = self._candidates(block)
            drawn, by = state.engine.copies(candidates)
            copies[candidates.rows] = drawn
            margin[candidates.rows] = np.where(drawn > 0, np.maximum(by, 0), np.minimum(by, 0))
        if copies.max(initial=0) > MAX_COPIES:
            raise CapacityError(
                f"{self.label}: a sample of shard {block.shard} is drawn more often than {MAX_COPIES} times, which a "
                "decision cannot hold; lower total, raise alpha, or cap the copies with hard_cap_sample"
            )
        return Verdict(copies.astype(np.uint16), margin)

    def facts(self, state: DrawState) -> dict[str, float | int | str]:
        if state.engine is None:
            return {"of": state.rows, "total": 0}
        engine = "race" if isinstance(state.engine, Race) else "sequential"
        return {"of": state.rows, "total": state.engine.rules.total, "engine": engine}
