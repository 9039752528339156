"""What every step must do, whatever it decides by: checks of one step with one set of parameters."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes import parse
from transforms.lib.recipes.contract import state_json
from transforms.lib.stats import crawl_summary
from winnow import blocks

SEEDS = range(3)
MULTIPLY = {"subset"}  # it may be a part of a composed step all the same, where only dropping counts
Random = np.random.Generator


class Case:
    """A step with parameters, and a pool for it.

    Args:
      kind: of the step.
      settings: parameter -> value, as a recipe gives them.
      files: parameter -> path, of the parameters that name a file.
    """

    def __init__(self, kind: str, settings: Mapping[str, Any], files: Mapping[str, str]) -> None:
        self.recipe = parse.parse({"steps": [{kind: dict(settings)}]}, seed=5)
        (self.step,) = self.recipe.steps
        named = {f"{self.step.label}.{name}": path for name, path in files.items()}
        self.step.check_files(named)
        leaves = [step for step in self.step.flat() if not step.nested()]
        wanted = {n: holds for step in leaves for n, holds in zip(step.inputs(), step.input_types(), strict=False)}
        self.pool = blocks.table(90, 0, named, wanted)

    def fit(self, shards: Sequence[Block], random: Random, memories: Sequence[Any] = ()) -> list[Any]:
        """Returns the states after every round; summaries are merged in any order and grouping."""
        step, state = self.step, self.step.start()
        states = [state]
        for _ in range(step.rounds):
            summary = None
            if step.needs(state):
                parts = [step.summarise(blocks.only(one, step.needs(state)), state) for one in shards]
                parts += [step.recall(one, state) for one in memories]
                summary = self._merged(parts, random)
            state = step.solve(state, summary)
            states.append(state)
        return states

    def _merged(self, parts: Sequence[Any], random: Random) -> Any:
        """Merges two random neighbours of a random order until one summary is left; None of no parts."""
        left = [parts[number] for number in random.permutation(len(parts))]
        while len(left) > 1:
            at = random.integers(len(left) - 1)
            left[at : at + 2] = [self.step.merge(left[at], left[at + 1])]
        return left[0] if left else None

    def verdicts(self, shards: Sequence[Block], state: Any) -> dict[tuple[int, ...], tuple[int, str]]:
        """Returns uid -> (copies, margin)."""
        found: dict[tuple[int, ...], tuple[int, str]] = {}
        for block in shards:
            verdict = self.step.apply(block, state)
            rows = zip(block.columns["uid"].tolist(), verdict.copies.tolist(), verdict.margin.tolist(), strict=True)
            found |= {tuple(uid): (copies, repr(margin)) for uid, copies, margin in rows}
        return found


def _written_down(state: Any) -> str:
    return json.dumps(state_json.to_json(state))


def a_recipe_comes_back_from_plain_values(case: Case) -> None:
    """Parameters survive JSON and pickle, and the sentence ends with a full stop."""
    assert parse.of_dict(json.loads(json.dumps(case.recipe.as_dict(), allow_nan=False))) == case.recipe
    assert json.dumps(case.step.remembered_as(), allow_nan=False)
    assert pickle.loads(pickle.dumps(case.step)) == case.step
    assert case.step.sentence().endswith(".")


def every_column_that_is_read_is_an_input_of_a_known_type(case: Case) -> None:
    """``inputs`` names all that ``summarise`` and ``score`` read, and ``input_types`` each of them."""
    step = case.step
    if not step.nested():
        assert len(step.input_types()) == len(step.inputs())
    for state in case.fit([case.pool], np.random.default_rng(0))[:-1]:
        assert set(step.needs(state)) <= set(step.inputs())
    assert step.score() is None or step.score() in step.inputs()


def summaries_merge_in_any_order_and_grouping_to_the_same_state(case: Case) -> None:
    """``merge`` is associative and commutative, to the last bit."""
    for random in map(np.random.default_rng, SEEDS):
        shards = blocks.split(case.pool, random)
        first, second = case.fit(shards, random), case.fit(shards[::-1], random)
        assert [_written_down(state) for state in first] == [_written_down(state) for state in second]


def any_split_of_the_pool_gives_every_sample_the_same_verdict(case: Case) -> None:
    """Decisions do not depend on how samples lie in shards."""
    for random in map(np.random.default_rng, SEEDS):
        shards = blocks.split(case.pool, random)
        whole = case.verdicts([case.pool], case.fit([case.pool], random)[-1])
        assert case.verdicts(shards, case.fit(shards, random)[-1]) == whole


def a_pool_without_shards_is_refused_by_a_step_that_fits(case: Case) -> None:
    """``solve`` of no summary raises ``EmptyPoolError``."""
    if not case.step.fits:
        assert case.fit([], np.random.default_rng(0))
        return
    try:
        case.step.solve(case.step.start(), None)
    except EmptyPoolError:
        return
    raise AssertionError("solve(start(), None) must raise EmptyPoolError")


def a_state_comes_back_from_json_and_decides_alike(case: Case) -> None:
    """Every state can be written down, and is the same when it is read."""
    for state in case.fit([case.pool], np.random.default_rng(0)):
        text = _written_down(state)
        back = state_json.of_json(json.loads(text))
        assert _written_down(back) == text
        assert type(back) is type(state)
    assert case.verdicts([case.pool], back) == case.verdicts([case.pool], state)
    assert json.dumps(case.step.facts(back))


def a_verdict_revives_no_row_and_keeps_no_invalid_one(case: Case) -> None:
    """Copies and margins have their types, and the sign of a margin agrees with the verdict."""
    for random in map(np.random.default_rng, SEEDS):
        shards = blocks.split(case.pool, random)
        state = case.fit(shards, random)[-1]
        for block in shards:
            verdict = case.step.apply(blocks.only(block, case.step.inputs()), state)
            assert verdict.copies.dtype == np.dtype(np.uint16)
            assert verdict.margin.dtype == np.dtype(np.float32)
            assert verdict.copies.shape == verdict.margin.shape == block.valid.shape
            kept = verdict.copies > 0
            assert not (kept & ~block.alive).any()
            assert (verdict.margin[kept] >= 0).all()
            assert (verdict.margin[block.alive & ~kept] <= 0).all()
            if not case.step.repeats and case.step.kind not in MULTIPLY:
                assert (verdict.copies <= block.copies).all()


def a_step_makes_the_columns_that_it_names(case: Case) -> None:
    """``derive`` gives what ``makes`` names, finite for valid rows and NaN for others."""
    state = case.fit([case.pool], np.random.default_rng(0))[-1]
    columns = case.step.derive(case.pool, state)
    assert tuple(columns) == case.step.makes()
    for values in columns.values():
        assert np.array_equal(np.isfinite(values), case.pool.valid)
        assert np.isnan(values[~case.pool.valid]).all()


def what_crawls_remember_is_worth_their_samples(case: Case) -> None:
    """Of a step that ``carries``: a fit over what was remembered equals a fit over the samples."""
    step = case.step
    if not (step.fits and step.carries):
        return
    for random in map(np.random.default_rng, SEEDS):
        shards = blocks.split(case.pool, random)
        middle = len(shards) // 2
        earlier = [step.remember(block) for block in shards[:middle]]
        pieces = [piece for piece in (earlier[::2], earlier[1::2][::-1]) if piece]
        memories = [crawl_summary.SummaryFile(io.BytesIO(crawl_summary.to_bytes(step.join(piece)))) for piece in pieces]
        pooled = case.fit(shards[middle:], random, memories)[-1]
        together = case.fit(shards, random)[-1]
        assert case.verdicts(shards[middle:], pooled) == case.verdicts(shards[middle:], together)


LAWS: Sequence[Callable[[Case], None]] = (
    a_recipe_comes_back_from_plain_values,
    every_column_that_is_read_is_an_input_of_a_known_type,
    summaries_merge_in_any_order_and_grouping_to_the_same_state,
    any_split_of_the_pool_gives_every_sample_the_same_verdict,
    a_pool_without_shards_is_refused_by_a_step_that_fits,
    a_state_comes_back_from_json_and_decides_alike,
    a_verdict_revives_no_row_and_keeps_no_invalid_one,
    a_step_makes_the_columns_that_it_names,
    what_crawls_remember_is_worth_their_samples,
)
