"""MetaCLIP 2's rule, against the paper's algorithm 1 written out."""

import json

import numpy as np
import pytest

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes.steps import metaclip2
from transforms.lib.recipes.steps.metaclip import chances
from transforms.lib.recipes.steps.metaclip2 import MetaClip2
from transforms.lib.recipes.text import metadata_match

LISTS = {"de": ["Hund", "Katze", "Haus"], "en": ["dog", "cat", "house", "rare"], "other": ["dog", "chien"]}
ahocorasick = pytest.importorskip("ahocorasick")


def t_to_p(t, entry_count):
    """The paper's: the share of the tail."""
    return entry_count[entry_count < t].sum() / entry_count.sum()


def p_to_t(p, entry_count):
    """The paper's: the limit of another language."""
    sorted_count = np.sort(entry_count)
    cumsum_prob = np.cumsum(sorted_count) / sorted_count.sum()
    return sorted_count[(np.abs(cumsum_prob - p)).argmin()]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(LISTS))
    return tmp_path / "m.json"


def pool(path, rows=900):
    random = np.random.default_rng(0)
    labels = random.choice(["en", "de", "fr"], rows, p=[0.6, 0.3, 0.1])
    weights = {"en": [0.7, 0.2, 0.08, 0.02], "de": [0.6, 0.3, 0.1], "fr": [0.5, 0.5]}
    lists = {**LISTS, "fr": LISTS["other"]}
    captions = [f"a {random.choice(lists[label], p=weights[label])} here" for label in labels]
    columns = {
        "index.caption": np.array(captions, object), "language.label": np.array(labels, object),
        "uid": uids.pairs([f"{row:032x}" for row in range(rows)]),
    }  # fmt: skip
    valid = np.ones(rows, bool)
    return Block("s", columns, valid, valid.astype(np.uint16), {"metaclip2.metadata": str(path)})


def counts_of(block):
    found = {}
    for language, entries in LISTS.items():
        mine = np.isin(block.columns["language.label"], ["fr"] if language == "other" else [language])
        said = [caption.split()[1] for caption in block.columns["index.caption"][mine]]
        found[language] = np.array([said.count(entry) for entry in entries])
    return found


def test_every_language_has_a_limit_that_keeps_its_share_of_the_tail(path):
    block = pool(path)
    step = MetaClip2("metaclip2", metadata="m.json", limit=60)
    (state,) = oracles.fit([step], [block])
    counts = counts_of(block)
    assert state.counts.tolist() == [n for language in LISTS for n in counts[language]]
    share = t_to_p(60, counts["en"])
    limits = {name: 60 if name == "en" else p_to_t(share, counts[name]) for name in LISTS}
    expected = np.concatenate([np.full(len(LISTS[name]), limits[name]) for name in LISTS])
    assert step._limits(block, state.counts).tolist() == expected.tolist()
    assert len(set(limits.values())) == 3


def test_a_sample_is_kept_by_the_entries_of_its_own_language(path):
    block = pool(path)
    step = MetaClip2("metaclip2", metadata="m.json", limit=60, seed=3)
    (state,) = oracles.fit([step], [block])
    counts, limits = counts_of(block), step._limits(block, state.counts)
    places = {name: sum(len(LISTS[one]) for one in list(LISTS)[:at]) for at, name in enumerate(LISTS)}
    chance = []
    for caption, label in zip(block.columns["index.caption"], block.columns["language.label"], strict=True):
        language = label if label in LISTS else "other"
        at = LISTS[language].index(caption.split()[1])
        chance.append(limits[places[language] + at] / max(limits[places[language] + at], counts[language][at]))
    chance = np.array(chance)
    kept = step.apply(block, state).copies > 0
    assert kept[chance == 1].all()
    assert abs(kept.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())


def test_with_english_alone_it_is_version_1(path):
    counts = np.array([100, 5, 30])
    row, entry = np.array([0, 1, 2]), np.array([0, 1, 2])
    np.testing.assert_array_equal(chances(row, entry, 3, counts, 20), chances(row, entry, 3, counts, np.full(3, 20)))


def test_a_language_that_nothing_names_has_the_least_limit():
    assert metaclip2.limit_of(0.5, np.zeros(3, np.int64)) == 1
    assert metaclip2.tail_share(5, np.zeros(3, np.int64)) == 0


def test_lists_without_the_language_of_the_limit_are_refused(path):
    step = MetaClip2("metaclip2", metadata="m.json", base="fr")
    with pytest.raises(InputError, match="has no list of 'fr', the language that limit is of; it has de, en, other"):
        step.check_files({"metaclip2.metadata": str(path)})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1]", "no JSON object of lists"),
        ("{", "no JSON object of lists"),
        ("{}", "no JSON object"),
        ('{"en": []}', "en has no list of strings"),
        ('{"en": [1]}', "en has no list of strings"),
    ],
)
def test_lists_that_cannot_be_used_are_named(tmp_path, text, problem):
    (tmp_path / "m").write_text(text)
    with pytest.raises(InputError, match=problem):
        metadata_match.read_languages(str(tmp_path / "m"))
