import dataclasses
import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import CapacityError, ConfigError, EmptyPoolError
from transforms.lib.recipes import parse, recipe
from transforms.lib.recipes.sampling import sequential
from transforms.lib.recipes.sampling.race import Race
from transforms.lib.recipes.steps.sample import HardCapSample, RandomFraction, Sample, SoftCapSample
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.stats import quantiles


def blocks(scores, ids=None, sizes=None):
    """Returns shards of the given sizes; NaN stands for a rejected sample, and ids are numbers."""
    scores = np.asarray(scores, np.float32)
    ids = np.arange(len(scores)) if ids is None else np.asarray(ids)
    pairs = np.stack([ids, ids * 7], 1).astype(np.uint64)
    made, start = [], 0
    for number, size in enumerate(sizes or [len(scores)]):
        cut = slice(start, start + size)
        valid = np.isfinite(scores[cut])
        made.append(Block(f"s{number}", {"score": scores[cut], "uid": pairs[cut]}, valid, valid.astype(np.uint16)))
        start += size
    return made


def draw(step, pool):
    states = oracles.fit([step], pool)
    return np.concatenate([recipe.decide([step], block, states).copies for block in pool]).astype(int)


def exponential(number, seed, turn):
    """The draw of a uid, by way of Python's own functions."""
    (key,) = uids.keyed_hash(np.array([[number, number * 7]], np.uint64), seed)
    return -math.log1p(-(int(uids.stream(np.array([key]), turn)[0]) + 0.5) / 2**64)


def earliest(scores, total, alpha, cap, seed=0):
    """Draws by a queue of each sample's next event."""
    copies = [0] * len(scores)
    queue = [(exponential(row, seed, 0) / math.exp(score), row) for row, score in enumerate(scores)]
    heapq.heapify(queue)
    for _ in range(total):
        time, row = heapq.heappop(queue)
        copies[row] += 1
        if copies[row] < cap:
            rate = math.exp(scores[row] - alpha * copies[row])
            heapq.heappush(queue, (time + exponential(row, seed, copies[row]) / rate, row))
    return copies


def reference(scores, total, batch, alpha, seed):
    """Soft Cap Sampling as it is described: batches without replacement, each copy takes alpha off the score.

    Drawing with replacement and passing over what the batch holds already is drawing without replacement.
    """
    random = np.random.default_rng(seed)
    copies = np.zeros(len(scores), int)
    drawn = 0
    while drawn < total:
        odds = np.exp(scores - alpha * copies)
        cumulative = np.cumsum(odds / odds.sum())
        size = min(batch, total - drawn)
        found = {}
        while len(found) < size:
            more = np.searchsorted(cumulative, random.random(2 * size) * cumulative[-1])
            found |= dict.fromkeys(more.tolist())
        copies[list(found)[:size]] += 1
        drawn += size
    return copies


def facts(scores, copies):
    deciles = np.array_split(np.argsort(scores, kind="stable"), 10)
    return np.array([(copies > 0).sum(), copies.max(), *(copies[rows].mean() for rows in deciles)])


def agree(scores, step_of, of_reference, seeds=5):
    """Compares the means over seeds, of each fact, with the spread from seed to seed."""
    ours = np.array([facts(scores, draw(step_of(seed), blocks(scores))) for seed in range(seeds)])
    theirs = np.array([facts(scores, of_reference(seed)) for seed in range(seeds)])
    spread = np.sqrt((ours.var(0, ddof=1) + theirs.var(0, ddof=1)) / seeds)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) <= 4 * spread + 1e-9).all(), (ours.mean(0), theirs.mean(0), spread)


@pytest.fixture(scope="module")
def normal_scores():
    return np.random.default_rng(0).normal(0, 2.5, 128_000).astype(np.float32).astype(np.float64)


def test_the_race_draws_as_the_reference_at_the_published_share(normal_scores):
    """128,000 rows and as many draws in batches of 100: 0.08 %, as 100,000 of 128 million."""
    total = len(normal_scores)
    agree(
        normal_scores,
        lambda seed: SoftCapSample("s", total=total, alpha=0.15, batch=100, seed=seed),
        lambda seed: reference(normal_scores, total, 100, 0.15, seed),
    )


def engine_of(step, scores):
    """Returns the engine that a step takes, by its first round."""
    (block,) = blocks(scores)
    return type(step.solve(step.start(), step.summarise(block, step.start())).engine)


@pytest.mark.parametrize(("rows", "sd", "alpha"), [(20_000, 2.5, 0.15), (20_000, 1.0, 0.02), (4000, 1.0, 0.0)])
def test_the_race_draws_as_the_reference_at_the_border_of_its_rule(rows, sd, alpha):
    scores = np.random.default_rng(0).normal(0, sd, rows).astype(np.float32).astype(np.float64)

    def step(batch, seed=0):
        return SoftCapSample("s", total=rows, alpha=alpha, batch=batch, seed=seed)

    def races(batch):
        return engine_of(step(batch), scores) is Race

    border = max(batch for batch in range(1, rows // 100 + 1) if races(batch))
    assert 2 <= border < rows // 100
    assert not any(races(batch) for batch in range(border + 1, 4 * border))
    agree(scores, lambda seed: step(border, seed), lambda seed: reference(scores, rows, border, alpha, seed))


def test_a_pool_too_large_for_batches_is_raced_unless_the_bound_of_a_copy_a_batch_holds_some_back(monkeypatch):
    scores = np.random.default_rng(0).normal(0, 2.5, 20_000)

    def engine(alpha, batch):
        return engine_of(SoftCapSample("s", total=20_000, alpha=alpha, batch=batch), scores)

    assert engine(0.15, 100) is sequential.SequentialDraw, "some 40 copies of the best in 200 batches"
    monkeypatch.setattr(sequential, "MAX_ROWS", 19_999)
    assert engine(0.15, 100) is Race
    with pytest.raises(CapacityError, match=r"lower batch to at most 1\d\d, for which the race stands"):
        engine(0.02, 200)
    assert engine(0.02, 100) is Race, "some 170 copies of the best in 200 batches"
    with pytest.raises(CapacityError, match="lower batch to at most 2"):
        engine(0.0, 100)
    assert engine(0.0, 1) is Race, "one at a time is what the race is"


def test_the_sequential_engine_draws_as_the_reference_where_batches_are_large(normal_scores):
    scores = normal_scores[:20_000]
    step = SoftCapSample("s", total=20_000, alpha=0.15, batch=1000)
    assert oracles.fit([step], blocks(scores))[0].engine.num_batches == 20
    agree(
        scores,
        lambda seed: SoftCapSample("s", total=20_000, alpha=0.15, batch=1000, seed=seed),
        lambda seed: reference(scores, 20_000, 1000, 0.15, seed),
    )


@pytest.mark.parametrize(("alpha", "total"), [(0.15, 300), (0.0, 100), (2.0, 100), (0.15, 7)])
def test_the_race_is_that_of_a_queue_of_events(alpha, total):
    scores = np.random.default_rng(1).normal(0, 2, 60).astype(np.float32)
    step = SoftCapSample("s", total=total, alpha=alpha, batch=1, engine="race", seed=4)
    assert draw(step, blocks(scores, sizes=[20, 0, 40])).tolist() == earliest(scores.tolist(), total, alpha, total, 4)


def test_a_hard_cap_and_draws_with_replacement_are_races_too():
    scores = np.random.default_rng(2).normal(0, 2, 60).astype(np.float32)
    pool = blocks(scores, sizes=[31, 29])
    assert draw(HardCapSample("h", total=250, limit=5), pool).tolist() == earliest(scores.tolist(), 250, 0, 5)
    step = Sample("s", column="score", total=400, replacement=True)
    assert draw(step, pool).tolist() == earliest(scores.tolist(), 400, 0, 400)
    assert draw(Sample("s", total=400, replacement=True), pool).tolist() == earliest([0.0] * 60, 400, 0, 400)


def test_the_sequential_engine_is_gumbel_top_g_batch_by_batch():
    scores = np.random.default_rng(3).normal(0, 2, 50).astype(np.float32).tolist()
    expected = [0] * 50
    for turn, size in enumerate((20, 20, 5)):
        keys = [scores[row] - 0.3 * expected[row] - math.log(exponential(row, 9, turn)) for row in range(50)]
        for row in sorted(range(50), key=lambda row: -keys[row])[:size]:
            expected[row] += 1
    step = SoftCapSample("s", total=45, alpha=0.3, batch=20, engine="sequential", seed=9)
    assert draw(step, blocks(scores, sizes=[50])).tolist() == expected


def test_without_replacement_a_huge_penalty_and_one_batch_are_the_same_draw():
    scores = np.random.default_rng(4).normal(0, 3, 500)
    pool = blocks(scores, sizes=[100, 400])
    plain = draw(Sample("s", column="score", total=120), pool)
    assert plain.max() == 1
    for step in (
        SoftCapSample("s", total=120, alpha=1e6, batch=1),
        SoftCapSample("s", total=120, batch=120),
        SoftCapSample("s", total=120, batch=120, engine="race"),
    ):
        assert (draw(step, pool) == plain).all(), step


def test_a_penalty_of_zero_draws_with_the_odds_of_the_softmax(normal_scores):
    scores = normal_scores[:1000] / 2
    copies = draw(SoftCapSample("s", total=1_000_000, alpha=0, batch=1), blocks(scores))
    expected = 1_000_000 * np.exp(scores) / np.exp(scores).sum()
    assert ((copies - expected) ** 2 / expected).sum() == pytest.approx(1000, abs=5 * math.sqrt(2000))


def test_a_huge_penalty_gives_every_sample_the_same_copies():
    scores = np.random.default_rng(5).normal(0, 3, 300)
    assert set(draw(SoftCapSample("s", total=1500, alpha=1e5, batch=1), blocks(scores))) == {5}


STEPS = st.sampled_from(
    [
        lambda total, seed: SoftCapSample("s", total=total, alpha=0.15, batch=1, seed=seed),
        lambda total, seed: SoftCapSample("s", total=total, alpha=0.0, batch=1, seed=seed, engine="race"),
        lambda total, seed: SoftCapSample("s", total=total, alpha=0.5, batch=3, seed=seed, engine="sequential"),
        lambda total, seed: SoftCapSample("s", total=total, alpha=30.0, batch=1, seed=seed, engine="race"),
        lambda total, seed: HardCapSample("s", total=total, limit=50, seed=seed),
        lambda total, seed: Sample("s", column="score", total=total, replacement=True, seed=seed),
        lambda total, seed: Sample("s", total=total, replacement=True, seed=seed),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.data(), STEPS, st.integers(0, 3))
def test_the_total_is_exact_and_the_copies_do_not_depend_on_the_split_or_the_order(data, step_of, seed):
    values = [0.0, 0.5, 2.0, -3.0, 80.0, -80.0, float("nan")]
    scores = data.draw(st.lists(st.sampled_from(values), min_size=1, max_size=30))
    ids = data.draw(st.lists(st.integers(0, 10**6), min_size=len(scores), max_size=len(scores), unique=True))
    cut = data.draw(st.integers(0, len(scores)))
    rows = int(np.isfinite(scores).sum())
    if not rows:
        return
    step = step_of(data.draw(st.integers(1, 10 * rows)), seed)
    whole = draw(step, blocks(scores, ids))
    assert whole.sum() == step.total
    halves = blocks(scores, ids, [cut, len(scores) - cut])
    assert (draw(step, halves) == whole).all()
    states = oracles.fit([step], halves[::-1])
    assert repr(states) == repr(oracles.fit([step], halves))


@settings(max_examples=150, deadline=None)
@given(st.data(), STEPS)
def test_the_total_is_exact_in_a_pool_of_repeated_uids_too(data, step_of):
    scores = data.draw(st.lists(st.sampled_from([0.0, 0.5]), min_size=2, max_size=30))
    ids = data.draw(st.lists(st.integers(0, 1), min_size=len(scores), max_size=len(scores)))
    step = step_of(data.draw(st.integers(1, 10 * len(scores))), 0)
    pool = blocks(scores, ids, [1, len(scores) - 1])
    copies = draw(step, pool)
    assert copies.sum() == step.total
    for score, number in set(zip(scores, ids, strict=True)):
        twins = copies[[a == (score, number) for a in zip(scores, ids, strict=True)]]
        assert np.ptp(twins) <= 1


def test_a_large_pool_of_one_uid_is_drawn_exactly():
    copies = draw(
        SoftCapSample("s", total=70_001, batch=1), blocks(np.zeros(70_000), np.zeros(70_000), [30_000, 40_000])
    )
    assert copies.sum() == 70_001
    assert np.ptp(copies) <= 1


def test_many_events_in_one_bin_are_split_once_more(monkeypatch):
    from transforms.lib.recipes.sampling import race

    scores = np.random.default_rng(6).normal(0, 1, 3000)
    pool = blocks(scores, sizes=[1000, 2000])
    step = SoftCapSample("s", total=3000, batch=1)
    plain = draw(step, pool)
    monkeypatch.setattr(race, "GATHERED", 0)
    assert (draw(step, pool) == plain).all()


def run_on(step, pool, state, **changes):
    """Runs the rounds that are left on a race with some of its facts changed, and draws."""
    state = state._replace(engine=dataclasses.replace(state.engine, **changes))
    while step.needs(state):
        state = step.solve(state, step.summarise(pool, state))
    return state, recipe.decide([step], pool, [state]).copies


@pytest.mark.parametrize("off", [-2.0, -0.013, 0.4, 7.0])
def test_the_copies_do_not_depend_on_the_time_that_was_expected(off):
    (pool,) = blocks(np.random.default_rng(6).normal(0, 2, 3000))
    step = SoftCapSample("s", total=3000, batch=1)
    state = step.solve(step.start(), step.summarise(pool, step.start()))
    end = np.float32(quantiles.score_of(state.engine.high) - off)
    high = int(quantiles.ordered_bits(np.array([end]))[0])
    assert (run_on(step, pool, state, center=state.engine.center + off, high=high)[1] == draw(step, [pool])).all()


def test_a_count_that_ends_with_the_last_event_and_one_that_ends_too_early_are_exact_too():
    (pool,) = blocks(np.random.default_rng(6).normal(0, 2, 3000))
    step = SoftCapSample("s", total=3000, batch=1)
    state = step.solve(step.start(), step.summarise(pool, step.start()))
    found, copies = run_on(step, pool, state)
    events = step.summarise(pool, state._replace(engine=dataclasses.replace(found.engine, phase="gather", low=0)))
    time = np.sort(events["time"])[2999] - state.engine.center
    last = int(quantiles.ordered_bits(np.array([time], np.float32))[0])
    early = int(quantiles.ordered_bits(np.array([time - 1], np.float32))[0])
    ended, drawn = run_on(step, pool, state, high=last)
    assert (drawn == copies).all()
    assert ended.engine.high == last
    again, drawn = run_on(step, pool, state, high=early)
    assert (drawn == copies).all()
    assert again.engine.tries == 1


def test_scores_of_any_size_are_drawn_from():
    for factor in (1e-6, 1.0, 1e6, 1e30):
        scores = np.random.default_rng(7).normal(0, 1, 200) * factor + 1e4
        for step in (SoftCapSample("s", total=200, batch=1), SoftCapSample("s", total=200, batch=50)):
            assert draw(step, blocks(scores, sizes=[50, 150])).sum() == 200


def test_what_was_dropped_or_rejected_is_not_drawn():
    scores = np.array([0.0, 5.0, np.nan, 1.0, 0.5])
    steps = [Threshold("t", at_least=0.4), SoftCapSample("s", total=60, batch=1)]
    (pool,) = blocks(scores)
    decisions = recipe.decide(steps, pool, oracles.fit(steps, [pool]))
    assert decisions.copies.sum() == 60
    assert (decisions.copies > 0).tolist() == [False, True, False, True, True]
    assert decisions.step.tolist() == [0, -1, -2, -1, -1]


def test_the_margin_says_how_far_the_score_was_from_another_outcome():
    scores = np.random.default_rng(8).normal(0, 1, 400)
    for step in (SoftCapSample("s", total=100, batch=1), SoftCapSample("s", total=100, batch=100)):
        (pool,) = blocks(scores)
        decisions = recipe.decide([step], pool, oracles.fit([step], [pool]))
        assert ((decisions.margin >= 0) == (decisions.copies > 0)).all()
        assert np.isfinite(decisions.margin).all()
        near = np.flatnonzero(decisions.copies == 0)[np.argmax(decisions.margin[decisions.copies == 0])]
        scores = scores.copy()
        scores[near] += 1.01 * -decisions.margin[near]
        assert draw(step, blocks(scores))[near] == 1


def test_a_total_of_zero_is_as_many_as_take_part():
    steps = [Threshold("t", at_least=0.0), SoftCapSample("s", batch=1)]
    scores = np.random.default_rng(9).normal(0, 1, 500)
    (pool,) = blocks(scores)
    states = oracles.fit(steps, [pool])
    assert recipe.decide(steps, pool, states).copies.sum() == (scores.astype(np.float32) >= 0).sum()
    assert steps[1].facts(states[1]) == {"of": 250, "total": 250, "engine": "race"} | {
        name: int((scores.astype(np.float32) >= 0).sum()) for name in ("of", "total")
    }


@pytest.mark.parametrize(("of", "kept"), [("remaining", 123), ("pool", 300)])
def test_a_random_fraction_is_exact_and_blind_to_scores(of, kept):
    scores = np.arange(1000.0)
    steps = [Threshold("t", at_least=590.0), RandomFraction("r", fraction=0.3, of=of, seed=2)]
    (pool,) = blocks(scores)
    copies = recipe.decide(steps, pool, oracles.fit(steps, [pool])).copies
    assert copies.sum() == kept
    assert copies.max() == 1
    assert abs(np.flatnonzero(copies).mean() - 795) < 30
    few = [Threshold("t", at_least=900.0), RandomFraction("r", fraction=0.3, of="pool")]
    assert recipe.decide(few, pool, oracles.fit(few, [pool])).copies.sum() == 100
    none = RandomFraction("r", fraction=0.0001)
    assert draw(none, [pool]).sum() == 0


def test_another_seed_draws_others():
    pool = blocks(np.zeros(1000))
    drawn = [draw(Sample("s", total=500, seed=seed), pool) for seed in (0, 1)]
    assert 180 < (drawn[0] & drawn[1]).sum() < 320


def test_rounds_without_work_read_nothing():
    pool = blocks(np.random.default_rng(1).normal(0, 1, 1000))
    step = SoftCapSample("s", total=1000, batch=1)
    state, read = step.start(), []
    for _ in range(step.rounds):
        read.append(step.needs(state))
        state = step.solve(state, step.summarise(pool[0], state) if read[-1] else None)
    assert read[:2] == [("score",), ("score", "uid")]
    assert read[3:] == [()] * (step.rounds - 3)


def test_what_cannot_be_drawn_is_refused_with_a_cure(monkeypatch):
    pool = blocks(np.array([60.0, 0.0, 0.0]))
    with pytest.raises(CapacityError, match="total 4 is more than 3 samples can give at 1 copies each; draw at most 3"):
        draw(Sample("s", total=4), pool)
    with pytest.raises(CapacityError, match="hard_cap_sample"):
        draw(Sample("s", column="score", total=70_000, replacement=True), pool)
    with pytest.raises(CapacityError, match="draw at most 196605"):
        draw(SoftCapSample("s", total=200_000, batch=1), pool)
    with pytest.raises(EmptyPoolError, match="no sample is left"):
        draw(Sample("s", total=1), blocks([np.nan]))
    with pytest.raises(EmptyPoolError, match="no shard"):
        Sample("s").solve(Sample("s").start(), None)
    monkeypatch.setattr(sequential, "MAX_ROWS", 2)
    with pytest.raises(CapacityError, match=r"3 samples are too many for the sequential engine.*use engine: race"):
        draw(SoftCapSample("s", total=3), pool)
    monkeypatch.setattr(sequential, "MAX_ROWS", 3)
    monkeypatch.setattr(sequential, "MAX_DRAWS", 8)
    with pytest.raises(CapacityError, match="3 batches of 3 samples are too many"):
        draw(SoftCapSample("s", total=3, batch=1, engine="sequential"), pool)


def test_parameters_out_of_range_are_all_named():
    document = {
        "name": "r",
        "steps": [
            {"soft_cap_sample": {"total": -1, "alpha": -0.1, "batch": 0, "engine": "fast", "seed": -1}},
            {"hard_cap_sample": {"limit": 0}},
            {"random_fraction": {"fraction": 0, "of": "rest"}},
        ],
    }
    with pytest.raises(ConfigError) as caught:
        parse.parse(document)
    text = "\n".join(caught.value.problems)
    for name in ("s_sample.total", ".alpha", ".batch", ".engine", ".seed", ".limit", ".fraction", ".of"):
        assert name.replace("s_", "soft_cap_") in text


def test_a_float_for_a_whole_number_is_not_cut_off():
    with pytest.raises(ConfigError, match=r"total must be of type int, got 2\.5"):
        parse.parse({"name": "r", "steps": [{"sample": {"total": 2.5}}]})
