"""Steps made of steps, against plain sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import parse, recipe


def blocks_of(draw_or_seed, shards=3, rows=30):
    random = np.random.default_rng(draw_or_seed)
    found = []
    for shard in range(shards):
        ids = [f"{shard:08x}{row:024x}" for row in range(rows)]
        columns = {
            "uid": uids.pairs(ids),
            "a": random.integers(0, 8, rows).astype(np.float32),
            "b": random.normal(size=rows).astype(np.float32),
        }
        valid = random.random(rows) < 0.9
        found.append(Block(f"s{shard}", columns, valid, valid.astype(np.uint16)))
    return found


def steps_of(*entries, **overrides):
    changes = {name.replace("__", "."): value for name, value in overrides.items()}
    return parse.parse({"name": "r", "source": "s", "steps": list(entries)}, changes).steps


def kept(steps, blocks):
    states = oracles.fit(steps, blocks)
    return np.concatenate([recipe.decide(steps, b, states).copies > 0 for b in blocks])


HIGH_A = {"threshold": {"column": "a", "at_least": 4}}
TOP_B = {"top_fraction": {"column": "b", "fraction": 0.3, "of": "remaining"}}
TOP_A = {"top_fraction": {"column": "a", "fraction": 0.5, "label": "ties"}}


@given(st.integers(0, 50))
def test_parts_are_joined_as_sets(seed):
    blocks = blocks_of(seed)
    valid = np.concatenate([b.valid for b in blocks])
    a, b, t = (kept(steps_of(step), blocks) for step in (HIGH_A, TOP_B, TOP_A))
    assert (kept(steps_of({"any_of": [HIGH_A, TOP_B, TOP_A]}), blocks) == a | b | t).all()
    assert (kept(steps_of({"all_of": [HIGH_A, TOP_B, TOP_A]}), blocks) == a & b & t).all()
    assert (kept(steps_of({"not": HIGH_A}), blocks) == valid & ~a).all()
    nested = {"any_of": [{"all_of": [HIGH_A, {"not": TOP_B}]}, TOP_A]}
    assert (kept(steps_of(nested), blocks) == a & ~b | t).all()


def test_parts_see_what_earlier_steps_left_and_not_what_the_others_leave():
    blocks = blocks_of(1)
    left = kept(steps_of(HIGH_A), blocks)
    found = kept(steps_of(HIGH_A, {"all_of": [TOP_B, {"threshold": {"column": "b", "label": "low"}}]}), blocks)
    score = np.concatenate([b.columns["b"] for b in blocks])
    top = np.zeros(len(score), bool)
    candidates = np.flatnonzero(left)
    top[candidates[np.argsort(-score[candidates])[: int(0.3 * left.sum() + 0.5)]]] = True
    assert (found == top & (score >= 0)).all()


def test_margins_are_the_smallest_the_largest_and_the_opposite():
    blocks = blocks_of(2, shards=1)
    low = {"threshold": {"column": "b", "at_least": 0, "label": "low"}}
    for composed, join in (("all_of", np.minimum), ("any_of", np.maximum)):
        steps = steps_of({composed: [HIGH_A, low]})
        margin = recipe.decide(steps, blocks[0], oracles.fit(steps, blocks)).margin
        expected = join(blocks[0].columns["a"] - 4, blocks[0].columns["b"])
        assert np.allclose(margin[blocks[0].valid], expected[blocks[0].valid])
    steps = steps_of({"not": HIGH_A})
    margin = recipe.decide(steps, blocks[0], oracles.fit(steps, blocks)).margin
    assert np.allclose(margin[blocks[0].valid], (4 - blocks[0].columns["a"])[blocks[0].valid])


def test_rounds_in_which_no_part_needs_anything_read_nothing():
    (step,) = steps_of({"any_of": [HIGH_A, TOP_B]})
    state = step.start()
    blocks = blocks_of(3)
    read = []
    for _ in range(step.rounds):
        read.append(step.needs(state))
        parts = [step.summarise(b, state) for b in blocks] if step.needs(state) else None
        merged = None
        for part in parts or []:
            merged = part if merged is None else step.merge(merged, part)
        state = step.solve(state, merged)
    assert read == [("b",), ("b",)] + [()] * (step.rounds - 2)
    assert step.facts(state)["top_fraction.keep"] == kept(steps_of(TOP_B), blocks).sum()


def test_the_command_line_reaches_the_parts():
    changed = steps_of({"any_of": [HIGH_A, {"not": {"label": "n", "parts": [TOP_B]}}]}, threshold__at_least="6")
    assert [step.label for step in changed[0].flat()] == ["any_of", "threshold", "n", "top_fraction"]
    assert changed[0].parts[0].at_least == 6
    assert changed[0].as_dict()["parts"][1]["parts"][0]["kind"] == "top_fraction"
    assert changed[0].sentence() == (
        "(Keep samples whose a is at least 6) or (Drop what this would keep: (Keep the top 30 % of the samples "
        "that are left by b; ties are broken by uid, seed 0))."
    )


def test_everything_wrong_with_parts_is_told_at_once():
    entries = [
        {"any_of": []},
        {"all_of": "score"},
        {"not": [HIGH_A, {"soft_cap_sample": {"column": "b", "total": 5}}]},
        {"any_of": {"label": "x", "parts": [{"treshold": {}}]}},
    ]
    with pytest.raises(ConfigError) as caught:
        steps_of(*entries, any_of__parts="1")
    text = "\n".join(caught.value.problems)
    for line in (
        "any_of has no parts", "all_of is written as '- all_of: [{threshold: ...}, ...]', got 'score'",
        "soft_cap_sample makes columns or copies and cannot be a part of not", "not takes one step, got 2",
        "step 'treshold' is unknown; did you mean threshold?", "'any_of.parts' is not a parameter of this recipe",
    ):  # fmt: skip
        assert line in text


@given(st.integers(0, 100), st.sampled_from([0.01, 0.3, 0.5, 0.999, 1.0]), st.booleans())
def test_datacomps_rule_keeps_its_threshold_of_the_whole_pool_and_all_ties(seed, fraction, filtered):
    """As mlfoundations/datacomp has it: n = int(N * x), threshold = sorted(scores)[::-1][n], keep >= threshold."""
    blocks = blocks_of(seed)
    valid = np.concatenate([b.valid for b in blocks])
    score = np.concatenate([b.columns["a"] for b in blocks])
    ranked = np.sort(score[valid])[::-1]
    n = int(len(ranked) * fraction)
    expected = valid & (score >= (ranked[n] if n < len(ranked) else -np.inf))
    low = {"threshold": {"column": "b", "at_least": 0}}
    top = {"top_fraction": {"column": "a", "fraction": fraction, "rule": "datacomp"}}
    found = kept(steps_of(*([low] if filtered else []), top), blocks)
    passed = np.concatenate([b.columns["b"] for b in blocks]) >= 0
    assert (found == (expected & passed if filtered else expected)).all()
    if not filtered:
        assert found.sum() >= min(n + 1, valid.sum())
