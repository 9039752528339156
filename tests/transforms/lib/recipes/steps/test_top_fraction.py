import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.recipes.steps.top_fraction import TopFraction


def block(name, scores, ids, **more):
    scores = np.array(scores, np.float32)
    valid = np.isfinite(scores)
    columns = {"score": scores, "uid": uids.pairs(ids), **more}
    return Block(name, columns, valid, valid.astype(np.uint16))


@st.composite
def pools(draw):
    """Shards with many ties and repeated uids: few distinct scores, few distinct uids."""
    scores = st.sampled_from([0.25, 0.5, 0.5000001, -0.5, 0.0, -0.0, float("nan")])
    ids = st.integers(0, draw(st.sampled_from([3, 10**9])))
    shards = {}
    for number in range(draw(st.integers(1, 4))):
        rows = draw(st.lists(st.tuples(scores, ids), max_size=30))
        shards[f"s{number}"] = ([s for s, _ in rows], [f"{i:032x}" for _, i in rows])
    return shards


@settings(max_examples=200)
@given(pools(), st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.99, 1.0]), st.integers(0, 3), st.randoms())
def test_equals_a_full_sort_at_any_order_of_shards(shards, fraction, seed, random):
    step = TopFraction("top", fraction=fraction, seed=seed)
    blocks = [block(name, *rows) for name, rows in shards.items()]
    random.shuffle(blocks)
    if not sum(b.valid.sum() for b in blocks):
        with pytest.raises(EmptyPoolError, match="no sample has a value in score"):
            oracles.fit([step], blocks)
        return
    states = oracles.fit([step], blocks)
    expected = oracles.top_fraction(shards, fraction, seed)
    for b in blocks:
        assert (recipe.decide([step], b, states).copies > 0).tolist() == expected[b.shard]


def test_keeps_exactly_the_stated_number_when_all_scores_tie():
    ids = [f"{i:032x}" for i in range(1000)]
    blocks = [block("a", [0.5] * 600, ids[:600]), block("b", [0.5] * 400, ids[600:])]
    step = TopFraction("top", fraction=0.3)
    states = oracles.fit([step], blocks)
    assert sum((recipe.decide([step], b, states).copies > 0).sum() for b in blocks) == 300


def test_keeps_exactly_the_stated_number_when_all_uids_are_equal():
    blocks = [block("a", [0.5] * 7, ["0" * 32] * 7), block("b", [0.5] * 5, ["0" * 32] * 5)]
    step = TopFraction("top", fraction=0.5)
    states = oracles.fit([step], blocks)
    assert sum((recipe.decide([step], b, states).copies > 0).sum() for b in blocks) == 6


def test_rounds_about_ties_are_idle_without_ties():
    ids = [f"{i:032x}" for i in range(10)]
    pool = block("a", np.arange(10) / 10, ids)
    step = TopFraction("top", fraction=0.3)
    state = step.start()
    for _ in range(2):
        assert step.needs(state) == ("score",)
        state = step.solve(state, step.summarise(pool, state))
    assert step.needs(state) == ()
    assert step.solve(state, None) == state
    assert step.threshold(state) == pytest.approx(0.7)


def test_a_fraction_of_what_remains_counts_only_that():
    ids = [f"{i:032x}" for i in range(10)]
    pool = block("a", np.arange(10) / 10, ids, size=np.array([1, 0] * 5, np.float32))
    steps = [Threshold("big", column="size", at_least=1.0), TopFraction("top", fraction=0.4, of="remaining")]
    decisions = recipe.decide(steps, pool, oracles.fit(steps, [pool]))
    assert np.flatnonzero(decisions.copies).tolist() == [6, 8]
    assert decisions.step.tolist() == [1, 0, 1, 0, 1, 0, -1, 0, -1, 0]


def test_a_fraction_of_the_pool_keeps_all_that_remain_when_fewer():
    ids = [f"{i:032x}" for i in range(10)]
    pool = block("a", np.arange(10) / 10, ids, size=np.array([1] + [0] * 9, np.float32))
    steps = [Threshold("big", column="size", at_least=1.0), TopFraction("top", fraction=0.5)]
    assert np.flatnonzero(recipe.decide(steps, pool, oracles.fit(steps, [pool])).copies).tolist() == [0]


def test_a_fraction_of_the_pool_counts_what_earlier_steps_dropped():
    ids = [f"{i:032x}" for i in range(10)]
    pool = block("a", np.arange(10) / 10, ids, size=np.array([1] * 4 + [0] * 6, np.float32))
    big = Threshold("big", column="size", at_least=1.0)
    for of, kept in (("pool", [2, 3]), ("remaining", [3])):
        steps = [big, TopFraction("top", fraction=0.2, of=of)]
        assert np.flatnonzero(recipe.decide(steps, pool, oracles.fit(steps, [pool])).copies).tolist() == kept


def test_a_fraction_too_small_for_one_sample_keeps_none():
    pool = block("a", [0.1, 0.2], ["0" * 32, "1" * 32])
    step = TopFraction("top", fraction=0.1)
    states = oracles.fit([step], [pool])
    assert recipe.decide([step], pool, states).copies.tolist() == [0, 0]
    assert step.threshold(states[0]) == float("inf")


def test_margin_is_the_distance_from_the_threshold():
    pool = block("a", [0.125, 0.25, 0.5], [f"{i:032x}" for i in range(3)])
    step = TopFraction("top", fraction=0.34)
    decisions = recipe.decide([step], pool, oracles.fit([step], [pool]))
    assert decisions.margin.tolist() == [-0.375, -0.25, 0.0]


def test_another_seed_breaks_ties_another_way():
    ids = [f"{i:032x}" for i in range(100)]
    pool = block("a", [0.5] * 100, ids)
    kept = []
    for seed in (0, 1):
        step = TopFraction("top", fraction=0.5, seed=seed)
        kept.append(recipe.decide([step], pool, oracles.fit([step], [pool])).copies.tolist())
    assert kept[0] != kept[1]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_refuses_a_fraction_outside_zero_to_one(fraction):
    assert TopFraction("top", fraction=fraction).problems()


def with_missing(name, scores, other, ids):
    """A shard whose samples were all indexed; those with something that is not finite are rejected."""
    scores, other = np.array(scores, np.float32), np.array(other, np.float32)
    valid = np.isfinite(scores) & np.isfinite(other)
    columns = {"score": scores, "other": other, "uid": uids.pairs(ids)}
    return Block(name, columns, valid, valid.astype(np.uint16), indexed=np.ones(len(scores), bool))


def datacomps_rule(scores, fraction):
    """The published script: the n-th of the scores sorted downwards, NaN last, and all at or above it."""
    threshold = -np.sort(-scores)[int(len(scores) * fraction)]
    return scores >= threshold


INFINITE = float("inf")
ANY = st.sampled_from([0.25, 0.5, 0.5000001, -0.5, 0.0, -0.0, float("nan"), float("nan"), INFINITE, -INFINITE])
MISSING = st.lists(st.tuples(ANY, st.sampled_from([1.0, 1.0, float("nan")])), min_size=1, max_size=40)


@settings(max_examples=200)
@given(MISSING, st.sampled_from([0.01, 0.1, 0.25, 0.3, 0.5, 0.7]), st.integers(0, 40))
def test_datacomps_rule_counts_samples_without_a_score(rows, fraction, cut):
    scores = np.array([score for score, _ in rows], np.float32)
    assume(int(len(rows) * fraction) < (~np.isnan(scores)).sum())
    ids = [f"{i:032x}" for i in range(len(rows))]
    parts = [("a", slice(0, cut)), ("b", slice(cut, None))]
    blocks = [with_missing(name, scores[part], [o for _, o in rows[part]], ids[part]) for name, part in parts]
    step = TopFraction("top", fraction=fraction, rule="datacomp")
    states = oracles.fit([step], blocks)
    kept = np.concatenate([recipe.decide([step], one, states).copies > 0 for one in blocks])
    valid = np.concatenate([one.valid for one in blocks])
    assert kept.tolist() == (datacomps_rule(scores, fraction) & valid).tolist()
    assert states[0].total == len(rows)


def test_datacomps_rule_counts_a_sample_that_lacks_another_column():
    scores = np.arange(10) / 10
    pool = with_missing("a", scores, [1.0] * 8 + [float("nan")] * 2, [f"{i:032x}" for i in range(10)])
    steps = [Threshold("some", column="other", at_least=0.0), TopFraction("top", fraction=0.3, rule="datacomp")]
    decisions = recipe.decide(steps, pool, oracles.fit(steps, [pool]))
    assert np.flatnonzero(decisions.copies).tolist() == [6, 7]
    assert decisions.step[8:].tolist() == [recipe.REJECTED] * 2


def test_datacomps_rule_keeps_every_score_where_the_fraction_reaches_beyond_the_last():
    pool = with_missing("a", [0.5, float("nan"), float("nan"), 0.25], [1.0] * 4, [f"{i:032x}" for i in range(4)])
    step = TopFraction("top", fraction=0.75, rule="datacomp")
    assert recipe.decide([step], pool, oracles.fit([step], [pool])).copies.tolist() == [1, 0, 0, 1]


def test_datacomps_rule_of_a_pool_without_scores_is_refused():
    pool = with_missing("a", [float("nan")] * 3, [1.0] * 3, [f"{i:032x}" for i in range(3)])
    with pytest.raises(EmptyPoolError, match="no sample has a value in score"):
        oracles.fit([TopFraction("top", fraction=0.5, rule="datacomp")], [pool])


def test_a_made_column_gives_no_rank_to_a_sample_that_lacks_what_it_is_made_of():
    scores = [0.1, 0.2, 0.3, 0.4]
    pool = with_missing("a", scores, [1.0, 1.0, 1.0, float("nan")], [f"{i:032x}" for i in range(4)])
    mix = Mix("mix", weights={"score": 1.0, "other": 1.0}, standardise=False)
    steps = [mix, TopFraction("top", column="mixed_score", fraction=0.25, rule="datacomp")]
    states = oracles.fit(steps, [pool])
    assert states[1].total == 4
    assert np.flatnonzero(recipe.decide(steps, pool, states).copies).tolist() == [1, 2]


def test_a_fraction_of_less_than_half_a_sample_keeps_nothing_and_ties_nothing():
    blocks = [block("a", [0.1, 0.2, 0.2], [f"{i:032x}" for i in range(3)])]
    step = TopFraction("top", fraction=0.1)
    states = oracles.fit([step], blocks)
    assert recipe.decide([step], blocks[0], states).copies.tolist() == [0, 0, 0]
    assert step.facts(states[0]) == {"threshold": float("inf"), "of": 3, "keep": 0, "tied": 0}
