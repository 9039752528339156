"""What every step must do, whatever it decides by; a new step is tested once its module is there."""

import importlib
import inspect
import io
import json
import pickle
import pkgutil

import numpy as np
import pytest

from tests.laws import examples
from transforms.lib import registry
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes import parse, steps
from transforms.lib.recipes.contract import state_json
from transforms.lib.recipes.contract.step import Step
from transforms.lib.stats import crawl_summary

ALL = examples.pairs(registry.STEPS, examples.STEPS)
SEEDS = range(3)
MULTIPLY = {"subset"}  # it may be a part of a composed step all the same, where only dropping counts


class Case:
    """A step of an example, and a pool for it."""

    def __init__(self, kind, example, folder):
        settings = example.settings
        self.recipe = parse.parse({"steps": [{kind: dict(settings)}]}, seed=5)
        (self.step,) = self.recipe.steps
        files = {f"{self.step.label}.{name}": path for name, path in example.files(folder).items()}
        self.step.check_files(files)
        self.pool = examples.table(90, 0, files)

    def fit(self, blocks, random, memories=()):
        """Returns the states after every round; summaries are merged in any order and grouping."""
        step, state = self.step, self.step.start()
        states = [state]
        for _ in range(step.rounds):
            summary = None
            if step.needs(state):
                parts = [step.summarise(examples.only(one, step.needs(state)), state) for one in blocks]
                parts += [step.recall(one, state) for one in memories]
                summary = merged(step, parts, random)
            state = step.solve(state, summary)
            states.append(state)
        return states

    def verdicts(self, blocks, state):
        """Returns uid -> (copies, margin)."""
        found = {}
        for block in blocks:
            verdict = self.step.apply(block, state)
            rows = zip(block.columns["uid"].tolist(), verdict.copies.tolist(), verdict.margin.tolist(), strict=True)
            found |= {tuple(uid): (copies, repr(margin)) for uid, copies, margin in rows}
        return found


def merged(step, parts, random):
    """Merges two random neighbours of a random order until one summary is left."""
    parts = [parts[number] for number in random.permutation(len(parts))]
    while len(parts) > 1:
        at = random.integers(len(parts) - 1)
        parts[at : at + 2] = [step.merge(parts[at], parts[at + 1])]
    return parts[0]


def written_down(state):
    return json.dumps(state_json.to_json(state))


@pytest.fixture
def case(name, example, tmp_path):
    return Case(name, examples.checked(name, example), tmp_path)


laws = pytest.mark.parametrize(("name", "example"), ALL)


def test_every_step_is_registered():
    named = {
        value.kind
        for module in pkgutil.iter_modules(steps.__path__, f"{steps.__name__}.")
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(value, Step) and not inspect.isabstract(value) and "kind" in vars(value)
    }
    assert named == set(registry.STEPS) == {*parse.STEPS, *parse.COMPOSED}
    assert all(entry.load().kind == kind for kind, entry in registry.STEPS.items())


@laws
def test_a_recipe_comes_back_from_plain_values(case):
    assert parse.of_dict(json.loads(json.dumps(case.recipe.as_dict(), allow_nan=False))) == case.recipe
    assert json.dumps(case.step.remembered_as(), allow_nan=False)
    assert pickle.loads(pickle.dumps(case.step)) == case.step
    assert case.step.sentence().endswith(".")


@laws
def test_every_column_that_is_read_is_an_input_of_a_known_type(case):
    step = case.step
    if not step.nested():
        assert len(step.input_types()) == len(step.inputs())
    for state in case.fit([case.pool], np.random.default_rng(0))[:-1]:
        assert set(step.needs(state)) <= set(step.inputs())
    assert step.score() is None or step.score() in step.inputs()


@laws
@pytest.mark.parametrize("seed", SEEDS)
def test_summaries_merge_in_any_order_and_grouping_to_the_same_state(case, seed):
    random = np.random.default_rng(seed)
    blocks = examples.split(case.pool, random)
    first, second = case.fit(blocks, random), case.fit(blocks[::-1], random)
    assert [written_down(state) for state in first] == [written_down(state) for state in second]


@laws
@pytest.mark.parametrize("seed", SEEDS)
def test_any_split_of_the_pool_gives_every_sample_the_same_verdict(case, seed):
    random = np.random.default_rng(seed)
    blocks = examples.split(case.pool, random)
    whole = case.verdicts([case.pool], case.fit([case.pool], random)[-1])
    assert case.verdicts(blocks, case.fit(blocks, random)[-1]) == whole


@laws
def test_a_pool_without_shards_is_refused_by_a_step_that_fits(case):
    if not case.step.fits:
        assert case.fit([], np.random.default_rng(0))
        return
    with pytest.raises(EmptyPoolError):
        case.step.solve(case.step.start(), None)


@laws
def test_a_state_comes_back_from_json_and_decides_alike(case):
    for state in case.fit([case.pool], np.random.default_rng(0)):
        text = written_down(state)
        back = state_json.of_json(json.loads(text))
        assert written_down(back) == text
        assert type(back) is type(state)
    assert case.verdicts([case.pool], back) == case.verdicts([case.pool], state)
    assert json.dumps(case.step.facts(back))


@laws
@pytest.mark.parametrize("seed", SEEDS)
def test_a_verdict_revives_no_row_and_keeps_no_invalid_one(case, seed):
    random = np.random.default_rng(seed)
    blocks = examples.split(case.pool, random)
    state = case.fit(blocks, random)[-1]
    for block in blocks:
        verdict = case.step.apply(examples.only(block, case.step.inputs()), state)
        assert (verdict.copies.dtype, verdict.margin.dtype) == (np.uint16, np.float32)
        assert verdict.copies.shape == verdict.margin.shape == block.valid.shape
        kept = verdict.copies > 0
        assert not (kept & ~block.alive).any()
        assert (verdict.margin[kept] >= 0).all()
        assert (verdict.margin[block.alive & ~kept] <= 0).all()
        if not case.step.repeats and case.step.kind not in MULTIPLY:
            assert (verdict.copies <= block.copies).all()


@laws
def test_a_step_makes_the_columns_that_it_names(case):
    state = case.fit([case.pool], np.random.default_rng(0))[-1]
    columns = case.step.derive(case.pool, state)
    assert tuple(columns) == case.step.makes()
    for values in columns.values():
        assert np.array_equal(np.isfinite(values), case.pool.valid)
        assert np.isnan(values[~case.pool.valid]).all()


@laws
@pytest.mark.parametrize("seed", SEEDS)
def test_what_crawls_remember_is_worth_their_samples(case, seed):
    step, random = case.step, np.random.default_rng(seed)
    if not (step.fits and step.carries):
        return
    blocks = examples.split(case.pool, random)
    middle = len(blocks) // 2
    earlier = [step.remember(block) for block in blocks[:middle]]
    pieces = [piece for piece in (earlier[::2], earlier[1::2][::-1]) if piece]
    memories = [crawl_summary.SummaryFile(io.BytesIO(crawl_summary.to_bytes(step.join(piece)))) for piece in pieces]
    pooled = case.fit(blocks[middle:], random, memories)[-1]
    together = case.fit(blocks, random)[-1]
    assert case.verdicts(blocks[middle:], pooled) == case.verdicts(blocks[middle:], together)
