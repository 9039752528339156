"""A misspelled name leads to the one that was meant."""

from pathlib import Path

import pytest

from transforms.lib import similar

ROOT = Path(__file__).parents[3]
STEPS = ["top_fraction", "threshold", "sample", "language"]


@pytest.mark.parametrize(
    ("name", "most", "words"),
    [
        ("langauge", 1, "did you mean language?"),
        ("thresholds", 2, "did you mean threshold?"),
        ("zzz", 1, "there are four"),
    ],
)
def test_the_nearest_name_is_asked_for(name, most, words):
    assert similar.did_you_mean(name, STEPS, "there are four", most) == words


def test_several_near_names_are_joined():
    assert similar.did_you_mean("score", ["scores", "scored", "other"], most=2) in (
        "did you mean scores or scored?",
        "did you mean scored or scores?",
    )


def test_nothing_is_said_where_nothing_is_near():
    assert similar.did_you_mean("zzz", STEPS) == ""
    assert similar.nearest("zzz", iter(STEPS), 3) == []


def test_names_are_compared_in_one_place():
    files = [path for top in ("transforms", "beam_pipelines") for path in (ROOT / top).rglob("*.py")]
    assert [path.name for path in files if "get_close_matches" in path.read_text()] == ["similar.py"]
