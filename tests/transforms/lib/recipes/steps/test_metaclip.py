"""Balancing over a metadata list, against MetaCLIP's loops written out."""

import importlib.util
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.recipes import parse, recipe
from transforms.lib.recipes.contract import state_json
from transforms.lib.recipes.steps.metaclip import BalanceState, MetaClip, chances
from transforms.lib.recipes.text import metadata_match

needs_ahocorasick = pytest.mark.skipif(
    not importlib.util.find_spec("ahocorasick"), reason="needs winnow-beam[metaclip]"
)
ENTRIES = ["dog", "hot dog", "dog hot", "a", ",", "New York", "Hund\u00e9", "cat"]


def named(caption):
    """The entries of a caption, by substring search."""
    text = f" {caption} "
    for mark in ",.;:?!`":
        text = text.replace(mark, f" {mark} ")
    for mark in "\t\n\r":
        text = text.replace(mark, " ")
    return [number for number, entry in enumerate(ENTRIES) if f" {entry} " in text]


PIECES = st.sampled_from(
    [
        "dog",
        "hot",
        "a",
        ",",
        ".",
        " ",
        "  ",
        "\n",
        "\t",
        "\r",
        "New",
        "York",
        "new",
        "Hund\u00e9",
        "`",
        "dogs",
        "\0",
        "é",
    ]
)


@needs_ahocorasick
@given(st.lists(st.lists(PIECES, max_size=8), max_size=8), st.sampled_from(["", " "]))
def test_entries_are_found_as_substrings_between_spaces(rows, glue):
    captions = np.array([glue.join(row) for row in rows], object)
    row, entry = metadata_match.EntryMatcher(ENTRIES).match(captions)
    expected = [(place, number) for place, caption in enumerate(captions) for number in named(caption)]
    assert list(zip(row.tolist(), entry.tolist(), strict=True)) == expected


def test_the_chance_is_that_any_entry_passes():
    counts = np.array([10, 200, 50, 0])
    row, entry = np.array([0, 2, 2, 3, 3]), np.array([1, 1, 2, 0, 1])
    found = chances(row, entry, 5, counts, limit=20)
    np.testing.assert_allclose(found, [0.1, 0, 1 - 0.9 * 0.6, 1, 0])
    assert chances(row[:0], entry[:0], 2, counts, 20).tolist() == [0, 0]


def blocks(path):
    random = np.random.default_rng(0)
    words = ["dog", "dog", "dog", "dog", "hot", "a", ",", "cat", "bird"]
    made = []
    for shard in range(3):
        captions = [" ".join(random.choice(words, random.integers(1, 4))) for _ in range(400)]
        ids = [f"{shard * 1000 + row:032x}" for row in range(400)]
        columns = {"index.caption": np.array(captions, object), "uid": uids.pairs(ids)}
        valid = random.random(400) < 0.9
        made.append(Block(f"s{shard}", columns, valid, valid.astype(np.uint16), {"metaclip.metadata": str(path)}))
    return made


@pytest.fixture
def metadata(tmp_path):
    (tmp_path / "metadata.json").write_text(json.dumps(ENTRIES))
    return tmp_path / "metadata.json"


@needs_ahocorasick
def test_samples_are_kept_as_often_as_their_entries_say(metadata):
    made = blocks(metadata)
    step = MetaClip("metaclip", metadata="metadata.json", limit=60, seed=4)
    (state,) = oracles.fit([step], made)
    alive = [(b, row) for b in made for row in np.flatnonzero(b.valid)]
    entries = [named(b.columns["index.caption"][row]) for b, row in alive]
    counts = np.bincount([number for found in entries for number in found], minlength=len(ENTRIES))
    assert state.counts.tolist() == counts.tolist()
    chance = np.array([1 - np.prod([1 - 60 / max(60, counts[e]) for e in found]) for found in entries])
    verdicts = {b.shard: step.apply(b, state) for b in made}
    kept = np.array([verdicts[b.shard].copies[row] for b, row in alive], bool)
    assert not kept[chance == 0].any()
    assert kept[chance == 1].all()
    assert abs(kept.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())
    assert all((verdicts[b.shard].copies[~b.valid] == 0).all() for b in made)
    assert all(((v.margin > 0) >= (v.copies > 0)).all() for v in verdicts.values())
    facts = step.facts(state)
    assert (facts["entries"], facts["named"]) == (8, int((counts > 0).sum()))
    assert facts["above_limit"] == int((counts > 60).sum())


@needs_ahocorasick
def test_no_split_and_no_order_changes_what_is_kept(metadata):
    step = MetaClip("metaclip", metadata="m", limit=30)
    answers = []
    for order in itertools.permutations(blocks(metadata)):
        states = oracles.fit([step], order)
        copies = {b.shard: recipe.decide([step], b, states).copies.tolist() for b in order}
        answers.append((copies, state_json.to_json(states)))
    assert all(answer == answers[0] for answer in answers)
    other = oracles.fit([MetaClip("metaclip", metadata="m", limit=30)], blocks(metadata)[:2])
    assert state_json.to_json(other) != answers[0][1], "a decision's stamp tells states apart"


def test_states_of_large_lists_are_told_apart():
    counts = np.arange(100_000)
    changed = counts.copy()
    changed[50_000] += 1
    assert state_json.to_json(BalanceState(counts)) != state_json.to_json(BalanceState(changed))


@needs_ahocorasick
@pytest.mark.parametrize("text", ['["dog", "cat", "dog", " "]', "dog\ncat\n\ndog\n"])
def test_a_list_is_json_or_lines_and_repeats_count_once(tmp_path, text):
    (tmp_path / "m").write_text(text)
    assert metadata_match.read_entries(str(tmp_path / "m")) == ["dog", "cat"]
    assert metadata_match.matcher(str(tmp_path / "m")).entries == 2
    (tmp_path / "m").write_text("dog")
    assert metadata_match.matcher(str(tmp_path / "m")).entries == 1, "a changed file is read again"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[1]", "something else than strings"),
        (b"[", "no metadata list"),
        (b"\xff", "no metadata list"),
        (b"\n", "holds no entry"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path, data, problem):
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(InputError, match=problem):
        metadata_match.read_entries(str(tmp_path / "m"))


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ahocorasick", None)
    with pytest.raises(InputError, match=r"pyahocorasick is missing; pip install 'winnow-beam\[metaclip\]'"):
        metadata_match.EntryMatcher(["dog"])


def test_wrong_parameters_are_told():
    with pytest.raises(ConfigError) as caught:
        parse.parse({"steps": [{"metaclip": {"limit": 0, "seed": -1}}]})
    assert len(caught.value.problems) == 3


def test_a_limit_of_one_is_the_least():
    assert MetaClip("m", metadata="m", limit=1).faults() == []
    assert "limit must be at least 1, got 0" in MetaClip("m", metadata="m", limit=0).faults()[0]


@needs_ahocorasick
def test_the_draws_are_a_stream_of_their_own(metadata):
    (block, *_) = blocks(metadata)
    step = MetaClip("metaclip", metadata="m", limit=1)
    state = step.solve(step.start(), np.ones(len(ENTRIES), np.int64))
    named_any = np.array([bool(named(caption)) for caption in block.columns["index.caption"]])
    drawn = uids.uniform(block.columns["uid"], int.from_bytes(b"metaclip", "big"))
    np.testing.assert_allclose(step.apply(block, state).margin, named_any - drawn, atol=1e-6)
