import numpy as np
import pytest

from transforms.lib import recipe
from transforms.lib.errors import ConfigError
from transforms.lib.steps import Block, Threshold, Verdict
from transforms.lib.topfraction import TopFraction

DFN = {"name": "dfn", "source": "paper", "steps": [{"top_fraction": {"fraction": 0.15}}]}


def test_reads_a_recipe():
    parsed = recipe.parse(DFN, seed=7)
    assert parsed.steps == (TopFraction("top_fraction", column="score", fraction=0.15, of="pool", seed=7),)
    assert parsed.inputs() == ("score", "uid")


def test_overrides_replace_parameters_as_their_type():
    parsed = recipe.parse(DFN, {"top_fraction.fraction": "0.5", "top_fraction.column": "a.b"})
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
        recipe.parse(document, {"top_fraction.size": "1"})
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
    assert recipe.keep_fraction_override(recipe.parse(DFN), 0.3) == {"top_fraction.fraction": "0.3"}
    with pytest.raises(ConfigError, match="exactly one top_fraction step, none has 0"):
        recipe.keep_fraction_override(recipe.parse({"name": "none", "steps": []}), 0.3)


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
        recipe.parse(document)
