"""The step that drops what dedup found."""

import numpy as np
import pytest

from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import parse, recipe


def decided(**parameters):
    """Returns (rows kept, their margins) of four samples: alone, two copies, rejected."""
    made = parse.parse({"name": "r", "source": "s", "steps": [{"drop_duplicates": parameters}]})
    columns = {
        "dedup_exact.duplicate_of": np.array(["", "ab", "cd", ""], object),
        "dedup_exact.similarity": np.array([0, 0.9, 0.99, np.nan], np.float32),
    }
    block = Block("s", columns, np.array([True, True, True, False]), np.ones(4, np.uint16))
    found = recipe.decide(made.steps, block, [None])
    return (found.copies > 0).tolist(), found.margin


def test_copies_go_and_others_stay():
    kept, margin = decided()
    assert kept == [True, False, False, False]
    np.testing.assert_allclose(margin, [np.inf, -0.9, -0.99, np.nan])


def test_a_bound_keeps_the_less_similar():
    assert decided(above=0.95)[0] == [True, True, False, False]
    assert decided(above=float(np.float32(0.99)))[0] == [True, True, True, False]


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"column": "dedup_exact.duplicate_of"}, "must be a column set such as dedup_exact"),
        ({"above": 1.0}, r"above must be in \[0, 1\), got 1.0"),
    ],
)
def test_unusable_parameters_are_named(parameters, line):
    with pytest.raises(ConfigError, match=line):
        decided(**parameters)


def test_a_missing_column_set_has_its_cure():
    made = parse.parse({"name": "r", "source": "s", "steps": [{"drop_duplicates": {"column": "dedup_phash"}}]})
    assert made.hints()["dedup_phash.duplicate_of"] == "`winnow dedup --by phash` adds it"
