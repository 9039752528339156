"""A flag is declared once: its help, its check and its problem say the same."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_pipelines.cloud.config import CostConfig, LaunchConfig
from beam_pipelines.config.base import Flag, Flags, Form, Range, any_of, flag, flags_of
from beam_pipelines.config.jobs import JOBS

EVERY = [*(job.settings for job in JOBS.values()), LaunchConfig, CostConfig]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Flags):
    """Flags of every kind."""

    count: int = flag(0, "rounds; 0 = as many as are needed", at_least=2, at_most=8, hint="2 is fast")
    share: float | None = flag(None, "share to keep; the rest goes", above=0, at_most=1)
    rate: float = flag(0.1, "rate of learning", above=0)
    kind: str = flag("", "kind; default: by the machine", choices={"fast": "", "exact": "slow", "none": ""})
    label: tuple[str, ...] = flag((), "labels; may be repeated", form=Form(r"\w+=\w*", "KEY=VALUE"))
    output: str = flag("", "folder", required="name it")
    threads: int = flag(0, "threads; 0 = all cores", at_least=0, operational=True)


def problems(**values):
    return Sample(**{"output": "x", **values}).problems()


def test_the_help_says_what_the_declaration_does():
    words = {name: declared.help() for name, declared in flags_of(Sample).items()}
    assert words == {
        "count": "rounds, in 2 .. 8; 0 = as many as are needed",
        "share": "share to keep, in (0, 1]; the rest goes",
        "rate": "rate of learning, above 0",
        "kind": "kind: fast, exact (slow) or none; default: by the machine",
        "label": "labels; may be repeated",
        "output": "folder (required)",
        "threads": "threads; 0 = all cores",
    }


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"count": 1}, "--count must be in 2 .. 8, got 1; 2 is fast"),
        ({"count": 9}, "--count must be in 2 .. 8, got 9; 2 is fast"),
        ({"share": 0.0}, "--share must be in (0, 1], got 0.0"),
        ({"share": float("nan")}, "--share must be in (0, 1], got nan"),
        ({"rate": 0.0}, "--rate must be above 0, got 0.0"),
        ({"rate": float("inf")}, "--rate must be above 0 and finite, got inf"),
        ({"kind": "slow"}, "--kind must be fast, exact or none, got 'slow'"),
        ({"label": ("a=b", "c")}, "--label must be KEY=VALUE, got 'c'"),
        ({"label": ("a=b c",)}, "--label must be KEY=VALUE, got 'a=b c'"),
        ({"output": ""}, "--output is missing; name it"),
    ],
)
def test_a_wrong_value_is_one_line(values, line):
    assert problems(**values) == [line]


def test_every_problem_is_noted_in_the_order_of_the_flags():
    lines = problems(count=1, share=2.0, rate=-1.0, kind="x", label=("a", "b"), output="")
    names = [re.match(r"--(\w+)", line)[1] for line in lines]
    assert names == ["count", "share", "rate", "kind", "label", "label", "output"]


def test_what_is_recorded_determines_the_output():
    """A run with another folder or more threads is the same run, and so is one with its flags in another order."""
    recorded = Sample(output="x", threads=4, label=("b=", "a=")).recorded()
    assert recorded == {"count": 0, "kind": "", "label": ["a=", "b="], "rate": 0.1, "share": None}


@pytest.mark.parametrize("values", [{}, {"count": 2}, {"count": 8}, {"share": 1.0}, {"kind": "exact"}])
def test_a_default_and_a_value_on_a_closed_bound_are_allowed(values):
    assert problems(**values) == []


@given(
    st.integers(-5, 5),
    st.integers(-5, 5),
    st.sampled_from(["at_least", "above"]),
    st.sampled_from(["at_most", "below"]),
)
def test_an_interval_holds_what_its_words_say(low, high, lower, upper):
    interval = Range(**{lower: low, upper: high})
    match = re.fullmatch(r"in ([\[(])(-?\d+), (-?\d+)([\])])", interval.text(whole=False))
    for value in range(-6, 7):
        above = value >= int(match[2]) if match[1] == "[" else value > int(match[2])
        under = value <= int(match[3]) if match[4] == "]" else value < int(match[3])
        assert interval.holds(value) == (above and under)


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_names_in_words(names, words):
    assert any_of(names) == words


@pytest.mark.parametrize("settings", EVERY, ids=lambda settings: settings.__name__)
def test_no_text_repeats_what_a_declaration_says(settings):
    """A range that is written by hand will differ from the declared one some day."""
    for name, declared in flags_of(settings).items():
        assert isinstance(declared, Flag)
        assert declared.default == next(field.default for field in dataclasses.fields(settings) if field.name == name)
        assert not re.search(r"\bat (least|most) \d|[\[(]\d, ?\d[\])]|\d \.\. \d|\(required\)$", declared.words) or (
            declared.positional
        ), name


@pytest.mark.parametrize("settings", EVERY, ids=lambda settings: settings.__name__)
def test_a_help_text_is_a_whole_phrase(settings):
    """It is read alone, in a table or a form, where nothing says what the flag's name is a part of."""
    for name, declared in flags_of(settings).items():
        assert declared.words.split()[0] not in {"of", "at", "added", "in", "for"}, name
        assert not declared.words.endswith("."), name
