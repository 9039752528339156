"""Parameters of every step: what is no use is told in a line, and everything else can be written down and run."""

import dataclasses
import json

import numpy as np
import pytest

from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import parse, recipe

NUMBERS = [-1, 0, 10**26, 1 << 64, 1e39, -1e300, float("inf"), float("-inf"), float("nan"), 1e38, (1 << 63) - 1]
NEEDED = {
    "balance": {"clusters": "c", "cap": 3},
    "density_prune": {"clusters": "c"},
    "metaclip": {"metadata": "a.txt"},
    "mix": {"weights": {"score": 1.0}},
    "subset": {"file": "a.npy"},
    "text_match": {"wordnet": "a", "synsets": "b"},
    "image_based": {"clusters": "c"},
}
NUMERIC = [
    (kind, field.name)
    for kind, step in sorted(parse.STEPS.items())
    for field in dataclasses.fields(step)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


def block():
    names = ("score", "index.original_width", "index.original_height", "caption.words", "caption.characters")
    columns = {name: np.array([1, 250, 0], np.float32) for name in names}
    columns |= {"dedup_exact.duplicate_of": np.array(["", "a", ""], object), "uid": uids.pairs(["1" * 32] * 3)}
    columns |= {"dedup_exact.similarity": np.array([0, 1, 0], np.float32)}
    return Block("s", columns, np.ones(3, bool), np.ones(3, np.uint16))


@pytest.mark.parametrize(("kind", "name"), NUMERIC)
@pytest.mark.parametrize("value", NUMBERS)
def test_a_number_is_refused_in_a_line_or_works(kind, name, value):
    problems = []
    try:
        made = parse.parse({"steps": [{kind: {**NEEDED.get(kind, {}), name: value}}]})
    except ConfigError as error:
        problems = error.problems
    if problems:
        assert all(line.startswith(kind) and "\n" not in line for line in problems)
        return
    (step,) = made.steps
    assert step.sentence()
    assert parse.of_dict(json.loads(json.dumps(made.as_dict(), allow_nan=False))) == made
    if not step.rounds and set(step.inputs()) <= set(block().columns) and not step.files:
        with np.errstate(over="ignore"):
            recipe.decide([step], block(), [None])
    elif name == "seed":
        uids.keyed_hash(block().columns["uid"], value)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"language": {"keep": False}}, "language.keep must be text in quotes"),
        ({"threshold": {"column": None}}, "threshold.column must be text in quotes"),
        ({"threshold": {"column": ["a", "b"]}}, "threshold.column must be text in quotes"),
        ({"top_fraction": {"fraction": True}}, "top_fraction.fraction must be a number, got True"),
        ({"caption_length": {"words_above": True}}, "caption_length.words_above must be a number"),
        ({"threshold": {"at_least": 1e39}}, "threshold.at_least must be a finite number of at most 3.40282e+38"),
        ({"threshold": {"at_least": 10**400}}, "threshold.at_least must be of type float"),
        ({"mix": {"weights": {1: 2.0}}}, "mix.weights must be a mapping, its keys text"),
        ({"mix": {"weights": {"score": 1e39}}}, "the weight of score must be a finite number"),
        ({"drop_kept": {"crawls": "abc"}}, "drop_kept.crawls must be a list of text"),
        ({"top_fraction": {"seed": -1}}, "top_fraction.seed must be in 0 .. 2**64 - 1, got -1"),
        ({"band": {"seed": 10**23}}, "band.seed must be in 0 .. 2**64 - 1"),
    ],
)
def test_a_value_that_is_not_meant_so_is_refused(step, expected):
    with pytest.raises(ConfigError) as caught:
        parse.parse({"steps": [step]})
    assert expected in caught.value.problems[0]
