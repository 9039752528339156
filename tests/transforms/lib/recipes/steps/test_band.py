import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.band import Band
from transforms.lib.recipes.steps.threshold import Threshold


def block(name, scores, ids):
    score = np.array(scores, np.float32)
    valid = np.isfinite(score)
    return Block(name, {"score": score, "uid": uids.pairs(ids)}, valid, valid.astype(np.uint16))


def decided(steps, shards):
    blocks = [block(name, *rows) for name, rows in shards.items()]
    states = oracles.fit(steps, blocks)
    return {b.shard: (recipe.decide(steps, b, states).copies > 0).tolist() for b in blocks}, states


SCORES = st.sampled_from([float("nan"), *(n / 8 for n in range(6))])


@given(st.lists(st.lists(SCORES, max_size=12), min_size=1, max_size=4), st.sampled_from([0.01, 0.1, 0.25, 0.5]))
def test_a_band_is_one_top_less_another(rows, drop):
    shards = {
        f"s{number}": (scores, [f"{100 * number + row:032x}" for row in range(len(scores))])
        for number, scores in enumerate(rows)
    }
    if not any(np.isfinite(scores).any() for scores, _ in shards.values()):
        return
    found, _ = decided([Band("b", drop=drop, fraction=0.75, seed=3)], shards)
    outer, inner = (oracles.top_fraction(shards, share, seed=3) for share in (0.75, drop))
    for name in shards:
        assert found[name] == [a and not b for a, b in zip(outer[name], inner[name], strict=True)]


def test_the_margin_is_the_distance_to_the_nearer_bound():
    made = block("a", [n / 10 for n in range(10)], [f"{n:032x}" for n in range(10)])
    steps = [Band("b", drop=0.2, fraction=0.6)]
    verdict = steps[0].apply(made, oracles.fit(steps, [made])[0])
    assert (verdict.copies > 0).tolist() == [False] * 4 + [True] * 4 + [False] * 2
    # 0.4 is the lowest that is kept, 0.8 the lowest that is dropped again
    np.testing.assert_allclose(verdict.margin, [-0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.1, 0, -0.1], atol=1e-6)


def test_exactly_the_stated_number_is_kept_in_any_order():
    random = np.random.default_rng(0)
    shards = {
        f"s{n}": (random.integers(0, 9, 100) / 8, [f"{100 * n + row:032x}" for row in range(100)]) for n in range(3)
    }
    answers = [
        decided([Band("b", drop=0.05, fraction=0.3)], dict(order))[0]
        for order in itertools.permutations(shards.items())
    ]
    assert all(answer == answers[0] for answer in answers)
    assert sum(sum(rows) for rows in answers[0].values()) == 90 - 15


def test_of_remaining_counts_what_is_left():
    shards = {"a": ([n / 100 for n in range(100)], [f"{n:032x}" for n in range(100)])}
    steps = [Threshold("t", at_least=0.5), Band("b", drop=0.1, fraction=0.5, of="remaining")]
    found, states = decided(steps, shards)
    assert np.flatnonzero(found["a"]).tolist() == list(range(75, 95))
    facts = steps[1].facts(states[1])
    assert (facts["keep"], facts["of"]) == (20, 50)
    assert facts["threshold"] == pytest.approx(0.75)
    assert facts["threshold_of_dropped"] == pytest.approx(0.95)
    assert "top 50 % of the samples that are left by score, but not the top 10 %" in steps[1].sentence()
