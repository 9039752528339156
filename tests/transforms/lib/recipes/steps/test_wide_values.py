"""Values that float32 cannot tell apart are ordered as they were given."""

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.band import Band
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.recipes.steps.sample import SoftCapSample
from transforms.lib.recipes.steps.temper import Temper, TemperState
from transforms.lib.recipes.steps.top_fraction import TopFraction
from transforms.lib.stats import crawl_summary, quantiles

CLOSE = [0.3, np.nextafter(0.3, 1), np.nextafter(0.3, 0), 0.3 + 1e-9, 0.3 - 1e-9, float(np.float32(0.3)), 0.2, -0.3]
FAR = [0.0, -0.0, 1e-300, -1e-300, 5e-324, 1e300, 1.1e300, -1e300, float("inf"), 1e-46]
VALUES = st.lists(st.sampled_from(CLOSE + FAR), min_size=1, max_size=60)


def block(name, values, ids, kind=np.float64):
    values = np.array(values, kind)
    columns = {"score": values, "uid": uids.pairs([f"{one:032x}" for one in ids])}
    return Block(name, columns, np.ones(len(values), bool), np.ones(len(values), np.uint16))


def halves(values, kinds=(np.float64, np.float64)):
    cut = len(values) // 2
    ids = range(len(values))
    return [block("a", values[:cut], ids[:cut], kinds[0]), block("b", values[cut:], ids[cut:], kinds[1])]


def kept(steps, blocks, memories=None):
    states = oracles.fit(steps, blocks, memories)
    return np.concatenate([recipe.decide(steps, one, states).copies for one in blocks]).tolist(), states


def datacomps_rule(scores, fraction):
    """``baselines/apply_filter.py``: the n-th of all scores sorted downwards, and all at or above it."""
    threshold = -np.sort(-scores)[int(len(scores) * fraction)]
    return (scores >= threshold).astype(int).tolist()


@settings(max_examples=200)
@given(VALUES, st.sampled_from([0.01, 0.1, 0.3, 0.5, 0.9]))
def test_datacomps_rule_is_that_of_the_published_script(values, fraction):
    copies, states = kept([TopFraction("top", fraction=fraction, rule="datacomp")], halves(values))
    assert copies == datacomps_rule(np.array(values), fraction)
    assert states[0].keep == sum(copies)


@settings(max_examples=200)
@given(VALUES, st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 3))
def test_the_exact_rule_is_a_full_sort_with_ties_by_uid(values, fraction, seed):
    step = TopFraction("top", fraction=fraction, seed=seed)
    copies, states = kept([step], halves(values))
    hashes = uids.keyed_hash(uids.pairs([f"{one:032x}" for one in range(len(values))]), seed)
    order = np.lexsort((hashes, -np.array(values)))[: quantiles.number_kept(fraction, len(values))]
    assert np.flatnonzero(copies).tolist() == sorted(order.tolist())
    if len(order):
        assert step.threshold(states[0]) == min(values[one] for one in order)


def test_as_many_are_kept_as_the_published_script_keeps_among_near_ties():
    random = np.random.default_rng(0)
    scores = 0.3 + random.integers(0, 1000, 20_000) * 1e-10
    copies, _ = kept([TopFraction("top", fraction=0.3, rule="datacomp")], halves(scores))
    assert copies == datacomps_rule(scores, 0.3)
    narrow, _ = kept([TopFraction("top", fraction=0.3, rule="datacomp")], halves(scores, (np.float32, np.float32)))
    assert sum(narrow) != sum(copies)  # the scores are close enough to tell the two apart


@pytest.mark.parametrize("kinds", [(np.float32, np.float64), (np.float64, np.float32)])
def test_shards_of_both_widths_are_ordered_together(kinds):
    values = [float(np.float32(0.3))] * 3 + [np.nextafter(np.float32(0.3), 1).astype(float) - 1e-9, 0.1, 0.2]
    copies, _ = kept([TopFraction("top", fraction=0.5)], halves(values, kinds))
    blocks = halves(values, kinds)
    given = np.concatenate([one.columns["score"].astype(float) for one in blocks])
    assert sorted(given[np.array(copies, bool)]) == sorted(given)[-3:]


def test_a_band_is_cut_between_close_values():
    values = 0.3 + np.arange(100) * 1e-12
    copies, _ = kept([Band("band", drop=0.1, fraction=0.3)], halves(values))
    assert np.flatnonzero(copies).tolist() == list(range(70, 90))


def test_later_crawls_order_what_was_remembered_by_all_its_bits():
    values = 0.3 + np.random.default_rng(1).permutation(60) * 1e-12
    step = TopFraction("top", fraction=0.25)
    old, new = halves(values)
    arrays = step.join([step.remember(old), step.remember(block("c", [0.5, 0.1], [100, 101], np.float32))])
    memory = crawl_summary.SummaryFile(io.BytesIO(crawl_summary.to_bytes(arrays)))
    copies, states = kept([step], [new], {0: [memory]})
    everything = np.sort(np.concatenate([values, np.array([0.5, 0.1], np.float32)]))[::-1]
    bound = everything[quantiles.number_kept(0.25, 62) - 1]
    assert step.threshold(states[0]) == bound
    assert copies == (new.columns["score"] >= bound).astype(int).tolist()


def test_what_float32_remembered_keeps_its_bytes():
    step = TopFraction("top")
    assert set(step.remember(block("a", [0.1, 0.2], [0, 1], np.float32))) == {"keys", "hashes", "bins", "counts", "of"}


def test_a_draw_without_penalty_is_of_the_values_given():
    values = np.array([1000.0, 1000.0 + 2e-5, 1000.0 + 4e-5] * 20)
    wide = SoftCapSample("draw", total=30)._candidates(block("a", values, range(60)))
    assert wide.scores.tolist() == values.tolist()


def test_made_columns_keep_what_their_inputs_hold():
    values = 0.3 + np.arange(10) * 1e-12
    mix = Mix("mix", weights={"score": 1.0}, standardise=False)
    copies, _ = kept([mix, TopFraction("top", column="mixed_score", fraction=0.3)], halves(values))
    assert np.flatnonzero(copies).tolist() == [7, 8, 9]
    temper = Temper("temper", column="score", unique=0.5)
    made = temper.derive(block("a", values, range(10)), TemperState(10, 2.0, 0.5))
    assert made[temper.as_].tolist() == (2 * values).tolist()


def test_whole_numbers_beyond_float64_are_refused_and_smaller_ones_are_exact():
    base = 1 << 52
    copies, _ = kept([TopFraction("top", fraction=0.3)], halves([base + n for n in range(10)], (np.int64, np.int64)))
    assert np.flatnonzero(copies).tolist() == [7, 8, 9]
    with pytest.raises(InputError, match=r"beyond 2\*\*53, which have no exact order here; subtract"):
        kept([TopFraction("top", fraction=0.3)], halves([(1 << 60) + n for n in range(10)], (np.int64, np.int64)))


def test_only_steps_that_read_wide_numbers_take_all_rounds():
    steps = (
        TopFraction("one", column="a"),
        Mix("mix", weights={"b": 1.0}, as_="made", standardise=False),
        TopFraction("two", column="made"),
        TopFraction("three", column="c"),
    )
    types = {"a": pa.float32(), "b": pa.float64(), "c": pa.int16(), "uid": pa.string()}
    assert recipe.Recipe("r", "", steps).wide(types) == {"mix", "two"}


def test_a_pool_whose_first_shard_alone_is_narrow_is_refused():
    step, blocks = TopFraction("top", fraction=0.5), halves([0.3, 0.3 + 1e-12, 0.3 + 2e-12, 0.1])
    state = step.start()
    for _ in range(step.narrow_rounds):
        state = step.solve(state, step.merge(*[step.summarise(one, state) for one in blocks]))
    with pytest.raises(InputError, match="wider than float32 in some shards and not in the first; write the column"):
        step.apply(blocks[0], state)
