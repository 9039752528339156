import functools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, EmptyPoolError
from transforms.lib.recipes import parse, recipe
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.stats import exact_sums

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def block(name, columns, valid=None):
    arrays = {key: np.asarray(values, np.float32) for key, values in columns.items()}
    rows = len(next(iter(arrays.values())))
    valid = np.ones(rows, bool) if valid is None else np.asarray(valid, bool)
    return Block(name, arrays, valid, valid.astype(np.uint16))


@settings(max_examples=200)
@given(st.lists(floats, min_size=1, max_size=40), st.integers(0, 40))
def test_moments_are_those_of_exact_fractions_at_any_split(values, cut):
    array = np.array(values, np.float32)
    found = exact_sums.moments(exact_sums.sums(array[:cut]) + exact_sums.sums(array[cut:]), len(array))
    exact = [Fraction(float(value)) for value in array]
    mean = sum(exact) / len(exact)
    assert found.mean == float(mean)
    assert found.std == math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))


def test_a_mean_far_from_zero_costs_no_digits():
    values = np.float32(1e7) + np.arange(4, dtype=np.float32)
    assert exact_sums.moments(exact_sums.sums(values), 4) == (1e7 + 1.5, math.sqrt(1.25))


def test_what_is_not_finite_has_no_sum():
    with pytest.raises(ValueError, match="only finite"):
        exact_sums.sums(np.array([1.0, np.inf], np.float32))
    with pytest.raises(ValueError, match="only finite"):
        exact_sums.sums(np.array([1e300]))


def pool(seed=0):
    random = np.random.default_rng(seed)
    blocks = []
    for number, rows in enumerate((0, 5, 300, 40)):
        a, b = random.normal(3, 2, rows), random.exponential(100, rows)
        valid = random.random(rows) < 0.9
        a = np.where(valid, a, np.nan)
        blocks.append(block(f"s{number}", {"a": a, "b": b, "c": np.full(rows, 7.0)}, valid))
    return blocks


def test_equals_plain_numpy_over_the_whole_pool():
    step = Mix("mix", weights={"b": -0.5, "a": 0.8, "c": 3}, as_="m")
    blocks = pool()
    (state,) = oracles.fit([step], blocks)
    valid = np.concatenate([b.valid for b in blocks])
    a, b = (np.concatenate([blk.columns[name] for blk in blocks])[valid].astype(np.float64) for name in "ab")
    expected = 0.8 * (a - a.mean()) / a.std() - 0.5 * (b - b.mean()) / b.std()
    made = np.concatenate([step.derive(blk, state)["m"][blk.valid] for blk in blocks])
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
    assert state.rows == len(a)


def test_bytes_do_not_depend_on_the_split_or_the_order():
    step = Mix("mix", weights={"a": 0.8, "b": 0.65})
    blocks = pool(1)
    parts = [step.summarise(b, None) for b in blocks]
    states = {
        repr(step.solve(None, functools.reduce(step.merge, order)))
        for order in (parts, parts[::-1], [step.merge(parts[0], parts[3]), step.merge(parts[2], parts[1])])
    }
    assert len(states) == 1


def test_without_standardising_it_is_the_weighted_sum_and_reads_nothing():
    step = Mix("mix", weights={"a": 2.0, "b": -1.0}, standardise=False, as_="m")
    assert step.needs(step.start()) == ()
    one = block("s", {"a": [1, 2], "b": [0.5, 3e38]})
    state = step.solve(None, None)
    assert step.derive(one, state)["m"].tolist() == [1.5, pytest.approx(-3e38)]
    assert step.facts(state) == {}


def test_mixing_drops_nothing_and_says_what_it_fitted():
    step = Mix("mix", weights={"a": 1.0})
    blocks = pool()
    states = oracles.fit([step], blocks)
    for one in blocks:
        assert (recipe.decide([step], one, states).copies == one.valid).all()
    assert set(step.facts(states[0])) == {"of", "mean of a", "std of a"}


def test_an_empty_pool_has_no_mean():
    step = Mix("mix", weights={"a": 1.0})
    with pytest.raises(EmptyPoolError, match="no sample has all of a"):
        oracles.fit([step], [block("s", {"a": []})])


def test_weights_must_be_there_and_finite():
    for weights in ({}, {"a": "big"}, {"a": float("nan")}, {"a": True}):
        with pytest.raises(ConfigError, match="weights"):
            parse.parse({"name": "r", "steps": [{"mix": {"weights": weights}}]})


def test_a_missing_column_is_named_with_how_to_get_it():
    from transforms.lib.columnstore import columns

    made = parse.parse({"name": "r", "steps": [{"mix": {"weights": {"dfn_ft": 1, "hype_distance": 1}}}]})
    with pytest.raises(ConfigError) as caught:
        columns.resolve(made.inputs(), {"index": ["uid"], "net": ["score"]}, made.hints())
    text = "\n".join(caught.value.problems)
    assert "'dfn_ft'" in text
    assert "winnow score --model dfn_ft=SPEC" in text
    assert "'hype_distance'" in text
    assert "winnow import-scores" in text


def test_the_name_of_a_column_set_stands_for_its_score():
    from transforms.lib.columnstore import columns

    sets = {"index": ["uid"], "dfn_ft": ["score", "image"], "other": ["score", "flyt"]}
    assert columns.resolve(["dfn_ft", "flyt"], sets) == {"dfn_ft": ("dfn_ft", "score"), "flyt": ("other", "flyt")}
