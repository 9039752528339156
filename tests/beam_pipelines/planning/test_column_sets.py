import pytest

from beam_pipelines.planning.column_sets import choose, choose_set
from transforms.lib.errors import ConfigError

SETS = {"index": ["uid"], "a": ["score", "image", "text"], "b": ["image"], "cluster_k3": ["cluster", "similarity"]}


@pytest.mark.parametrize(
    ("given", "needs", "expected"),
    [("", ("score", "image"), "a"), ("a", ("image",), "a"), ("b", ("image",), "b"), ("", ("cluster",), "cluster_k3")],
)
def test_a_flag_names_a_set_or_means_the_only_one(given, needs, expected):
    assert choose_set("--model", given, SETS, needs) == expected


@pytest.mark.parametrize(
    ("given", "needs", "expected"),
    [
        ("", ("image",), "--model is missing; name a column set with image; there are a, b"),
        ("b", ("score", "image"), "--model b is no column set with score and image; there are a"),
        ("c", ("x", "y", "z"), "--model c is no column set with x, y and z; there are none; `winnow score` adds one"),
        ("", ("x",), "--model is missing; name a column set with x; there are none; `winnow score` adds one"),
    ],
)
def test_what_is_unclear_is_named_with_what_there_is(given, needs, expected):
    with pytest.raises(ConfigError) as caught:
        choose_set("--model", given, SETS, needs)
    assert str(caught.value) == expected


def test_a_missing_flag_means_one_of_the_defaults_only():
    both = {"what": "column", "hint": "add one"}
    assert choose("--column", "", ["a.image", "a.text"], defaults=["a.image"], **both) == "a.image"
    assert choose("--column", "a.text", ["a.image", "a.text"], defaults=["a.image"], **both) == "a.text"
    with pytest.raises(ConfigError, match=r"--column is missing; name a column; there are a\.text"):
        choose("--column", "", ["a.text"], defaults=[], **both)
