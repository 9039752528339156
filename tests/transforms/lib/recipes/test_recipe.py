import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import yaml

from tests.transforms.lib import oracles
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import parse, recipe
from transforms.lib.recipes.contract.step import Step, Verdict
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.recipes.steps.top_fraction import TopFraction

DFN = {"name": "dfn", "source": "paper", "steps": [{"top_fraction": {"fraction": 0.15}}]}


def test_reads_a_recipe():
    parsed = parse.parse(DFN, seed=7)
    assert parsed.steps == (TopFraction("top_fraction", column="score", fraction=0.15, of="pool", seed=7),)
    assert parsed.inputs() == ("score", "uid")


def test_overrides_replace_parameters_as_their_type():
    parsed = parse.parse(DFN, {"top_fraction.fraction": "0.5", "top_fraction.column": "a.b"})
    assert (parsed.steps[0].fraction, parsed.steps[0].column) == (0.5, "a.b")


def test_every_problem_is_reported_at_once():
    document = {
        "name": "bad",
        "stages": [],
        "steps": [
            {"top_fracton": {}},
            {"threshold": {"atleast": 1}},
            {"threshold": {"at_least": "high"}},
            {"top_fraction": {"fraction": 1.5, "of": "rest"}},
            "no_filter",
        ],
    }
    with pytest.raises(ConfigError) as caught:
        parse.parse(document, {"top_fraction.size": "1"})
    text = "\n".join(caught.value.problems)
    for expected in (
        "recipe key 'stages' is unknown",
        "did you mean top_fraction?",
        "threshold.atleast is unknown",
        "two steps are called threshold",
        "threshold.at_least must be of type float, got 'high'",
        "fraction must be in (0, 1], got 1.5",
        "of must be pool or remaining",
        "a step is written as",
        "'top_fraction.size' is not a parameter",
    ):
        assert expected in text


def test_keep_fraction_stands_for_the_only_top_fraction():
    assert parse.parse(DFN, keep_fraction=0.3).steps[0].fraction == 0.3
    with pytest.raises(ConfigError, match="exactly one top_fraction step, none has 0"):
        parse.parse({"name": "none", "steps": []}, keep_fraction=0.3)


def test_what_a_recipe_lacks_may_come_with_the_command():
    document = {"steps": [{"top_fraction": {"fraction": 7}}, {"subset": {}}, {"balance": {"prefer": "none"}}]}
    given = {"subset.file": "a.npy", "balance.clusters": "c", "balance.cap": "3", "balance.prefer": "hard"}
    for more, keep_fraction in (({}, 0.5), ({"top_fraction.fraction": "0.5"}, None)):
        made = parse.parse(document, {**given, **more}, keep_fraction=keep_fraction)
        assert (made.steps[0].fraction, made.steps[1].file, made.steps[2].cap) == (0.5, "a.npy", 3)
    with pytest.raises(ConfigError) as caught:
        parse.parse(document, {"balance.clusters": "c", "balance.prefer": "hard", "top_fraction.fraction": "1"})
    assert [line.split()[0] for line in caught.value.problems] == ["subset.file", "balance"]


def test_a_recipe_without_steps_keeps_every_valid_sample():
    valid = np.array([True, False, True])
    block = Block("a", {}, valid, valid.astype(np.uint16))
    decisions = recipe.decide([], block, [])
    assert decisions.copies.tolist() == [1, 0, 1]
    assert decisions.step.tolist() == [recipe.KEPT, recipe.REJECTED, recipe.KEPT]


def test_a_step_cannot_revive_what_an_earlier_one_dropped():
    class Generous(Threshold):
        def apply(self, block, state):
            return Verdict(np.full(len(block.valid), 3, np.uint16), np.ones(len(block.valid), np.float32))

    valid = np.array([True, True, False])
    block = Block("a", {"score": np.array([0.0, 1.0, 1.0], np.float32)}, valid, valid.astype(np.uint16))
    decisions = recipe.decide([Threshold("t", at_least=0.5), Generous("g")], block, [None, None])
    assert decisions.copies.tolist() == [0, 3, 0]
    assert decisions.step.tolist() == [0, recipe.KEPT, recipe.REJECTED]


@pytest.mark.parametrize("document", [None, [], {"name": "x"}, {"steps": {}}])
def test_a_document_that_is_no_recipe_is_refused(document):
    with pytest.raises(ConfigError, match="a recipe is a YAML mapping"):
        parse.parse(document)


@dataclasses.dataclass(frozen=True)
class Centre(Step):
    """Makes a column: another one less its mean over the valid rows, plus a bias."""

    kind = "centre"
    rounds = 1
    column: str = "score"
    as_: str = "centred"
    high: bool = False

    def problems(self):
        return []

    def inputs(self):
        return (self.column,)

    def makes(self):
        return (self.as_,)

    def summarise(self, block, state):
        return np.array([block.columns[self.column][block.valid].sum(), block.valid.sum()])

    def merge(self, left, right):
        return left + right

    def solve(self, state, summary):
        return summary[0] / summary[1]

    def derive(self, block, state):
        return {self.as_: block.columns[self.column] - state}

    def apply(self, block, state):
        return Verdict(block.copies, np.full(len(block.valid), np.inf, np.float32))

    def sentence(self):
        return "Centre."


def test_a_column_that_a_step_makes_reaches_the_rounds_and_verdicts_of_later_steps():
    score = np.arange(10, dtype=np.float32)
    valid = np.ones(10, bool)
    block = Block("a", {"score": score, "uid": np.zeros((10, 2), np.uint64)}, valid, valid.astype(np.uint16))
    steps = [
        Centre("first"),
        Threshold("above", column="centred", at_least=0.0),
        Centre("second", column="centred", as_="again"),
        TopFraction("top", column="again", fraction=0.2),
    ]
    states = oracles.fit(steps, [block])
    assert states[0] == 4.5
    assert states[2] == 0
    assert recipe.decide(steps, block, states).copies.tolist() == [0] * 8 + [1, 1]
    assert recipe.stored_inputs(steps) == ("score", "uid")
    assert recipe.stored_inputs(steps[:1], ("centred", "uid")) == ("score", "uid")


@pytest.fixture
def centre(monkeypatch):
    monkeypatch.setitem(parse.STEPS, "centre", Centre)


def problems_of(*steps):
    with pytest.raises(ConfigError) as caught:
        parse.parse({"name": "r", "steps": list(steps)})
    return "\n".join(caught.value.problems)


def test_made_columns_must_be_unique_named_well_and_made_before_they_are_read(centre):
    two = {"centre": {"label": "b", "column": "x"}}
    assert "the column 'centred' is made by centre too" in problems_of({"centre": {}}, two)
    read = {"threshold": {"column": "centred"}}
    assert "threshold reads 'centred' before centre makes it; put centre first" in problems_of(read, {"centre": {}})
    assert "'a.b' cannot name a column" in problems_of({"centre": {"as": "a.b"}})
    assert "'uid' cannot name a column" in problems_of({"centre": {"as": "uid"}})


def test_a_made_column_that_is_stored_already_is_refused_with_its_cure(centre):
    made = parse.parse({"name": "r", "steps": [{"centre": {"column": "x", "as": "score"}}]})
    with pytest.raises(ConfigError, match="in column set net already; call it something else, for example mixed_score"):
        made.check_made({"index": ["uid"], "net": ["score", "image"]})
    made.check_made({"index": ["uid"], "net": ["image"]})


def test_a_parameter_that_is_a_word_of_python_is_written_without_the_underscore(centre):
    made = parse.parse({"name": "r", "steps": [{"centre": {"as": "x", "high": True}}]}, {"centre.as": "y"})
    assert made.steps[0].makes() == ("y",)
    assert made.as_dict()["steps"] == [
        {"kind": "centre", "label": "centre", "column": "score", "as": "y", "high": True}
    ]


def test_a_flag_of_a_step_is_read_as_true_or_false(centre):
    document = {"name": "r", "steps": [{"centre": {"high": True}}]}
    assert parse.parse(document, {"centre.high": "false"}).steps[0].high is False
    with pytest.raises(ConfigError, match="high must be of type bool, got 'no'"):
        parse.parse(document, {"centre.high": "no"})


@pytest.mark.parametrize("label", ["", "a=b", "a.b", "../x", "Best", "-a", "a b", "a" * 65, None, 5, False, ["a"]])
@pytest.mark.parametrize("kind", ["threshold", "any_of"])
def test_a_label_that_cannot_be_named_elsewhere_is_refused(kind, label):
    parameters = {"label": label} if kind == "threshold" else {"label": label, "parts": [{"band": {}}]}
    assert f"{kind}.label must be up to 64 lower-case letters" in problems_of({kind: parameters})


@pytest.mark.parametrize("label", ["kept", "dropped", "rejected"])
def test_a_label_that_says_what_became_of_a_sample_is_refused(label):
    assert f"threshold.label must not be {label}" in problems_of({"threshold": {"label": label}})


def test_labels_of_letters_digits_and_signs_are_taken():
    labels = ["best-2", "0", "a_b", "a" * 64]
    made = parse.parse({"name": "r", "steps": [{"threshold": {"label": label}} for label in labels]})
    assert [step.label for step in made.steps] == labels


TYPES = {
    "index.caption": pa.string(),
    "index.uid": pa.string(),
    "uid": pa.string(),
    "image": pa.list_(pa.float16(), 4),
    "score": pa.float32(),
    "width": pa.int32(),
}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"threshold": {"column": "index.caption"}}, "reads index.caption, which holds text, and needs a number"),
        ({"threshold": {"column": "image"}}, "which holds an embedding, and needs a number"),
        ({"threshold": {"column": "uid"}}, "which holds a uid, and needs a number"),
        ({"top_fraction": {"column": "index.uid"}}, "which holds text, and needs a number"),
        ({"band": {"column": "uid"}}, "which holds a uid, and needs a number"),
        ({"sample": {"column": "index.caption"}}, "which holds text, and needs a number"),
        ({"mix": {"weights": {"index.caption": 1.0}}}, "which holds text, and needs a number"),
        ({"caption_length": {"column": "index.caption", "characters": "width"}}, "needs a number"),
        ({"language": {"column": "score"}}, "which holds a number, and needs text; name a column of text, such as"),
        ({"any_of": [{"not": {"language": {"column": "score"}}}]}, "language reads score, which holds a number"),
        ({"image_based": {"column": "score", "centroids": "a", "targets": "b"}}, "needs an embedding"),
    ],
)
def test_a_column_of_a_type_that_a_step_cannot_use_is_refused(step, expected):
    made = parse.parse({"steps": [step]})
    with pytest.raises(ConfigError) as caught:
        made.check_types(TYPES)
    (line,) = caught.value.problems
    assert expected in line


def test_columns_of_numbers_whole_or_not_stored_or_made_are_taken():
    steps = [
        {"mix": {"weights": {"score": 1.0, "width": 1.0}}},
        {"top_fraction": {"column": "mixed_score"}},
        {"threshold": {"column": "width"}},
        {"all_of": [{"language": {"column": "index.caption"}}, {"random_fraction": {}}]},
    ]
    parse.parse({"steps": steps}).check_types(TYPES)


def read(text, overrides=None):
    """Returns the steps of a recipe as its YAML file has them."""
    return parse.parse({"name": "r", "steps": yaml.safe_load(text)}, overrides).steps


def test_numbers_may_have_exponents_as_people_write_them():
    mix, draw = read(
        "- mix: {weights: {a: 1e-5, b: -2.5E3, c: 3}, as: m}\n"
        "- soft_cap_sample: {column: m, total: 1.28e10, alpha: 15e-2, batch: 1e+5, seed: 4.0}\n"
    )
    assert mix.weights == {"a": 1e-5, "b": -2500.0, "c": 3}
    assert (draw.total, draw.alpha, draw.batch, draw.seed) == (12_800_000_000, 0.15, 100_000, 4)
    assert [type(value) for value in (draw.total, draw.alpha, draw.batch, draw.seed)] == [int, float, int, int]


@pytest.mark.parametrize(
    "text", ["1e9", "1E9", "1e+9", "10.0e8", " 1e9", "1000000000", "1_000_000_000", "1000000000.0"]
)
def test_a_whole_number_is_the_same_in_a_file_and_on_the_command_line(text):
    (said,) = read("- soft_cap_sample: {column: a}\n", {"soft_cap_sample.total": text})
    (written,) = read(f"- soft_cap_sample: {{column: a, total: {text}}}\n")
    assert said == written
    assert (said.total, type(said.total)) == (10**9, int)


def test_a_whole_number_is_read_exactly():
    (step,) = read("- soft_cap_sample: {column: a, seed: 9007199254740993}\n")
    (same,) = read("- soft_cap_sample: {column: a}\n", {"soft_cap_sample.seed": "9.007199254740993e15"})
    assert step.seed == same.seed == 2**53 + 1


@pytest.mark.parametrize(
    "text", ["1.5", "1e-1", "15e-1", "1e999999999", "1e-999999999", "inf", ".inf", "nan", "1e", "e5"]
)
def test_what_is_no_whole_number_is_refused(text):
    line = r"soft_cap_sample\.total must be of type int, got"
    with pytest.raises(ConfigError, match=line):
        read("- soft_cap_sample: {column: a}\n", {"soft_cap_sample.total": text})
    with pytest.raises(ConfigError, match=line):
        read(f"- soft_cap_sample: {{column: a, total: {text}}}\n")


def test_a_weight_that_is_no_number_is_named_as_it_was_written():
    for text in ("one", "true", ".nan", "1e400"):
        with pytest.raises(ConfigError, match="the weight of a must be a finite number, got"):
            read(f"- mix: {{weights: {{a: {text}}}, as: m}}\n")


def test_text_that_looks_like_a_number_stays_text_where_text_is_meant():
    first, second = read("- threshold: {label: 1e5, column: 1e3, at_least: 1e-5}\n- subset: {file: 1e9}\n")
    assert (first.label, first.column, first.at_least) == ("1e5", "1e3", 1e-5)
    assert second.file == "1e9"
