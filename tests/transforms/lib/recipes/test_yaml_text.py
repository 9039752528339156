import pytest

from beam_pipelines.planning.recipes import load_recipe
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import yaml_text


def refusal(tmp_path, text):
    """The one line that a recipe is refused with."""
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path))
    (line,) = caught.value.problems
    assert "\n" not in line
    return line.removeprefix(f"--recipe {path}: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nsteps: []\nsteps: []\n", "unusable YAML: line 3: 'steps' is given twice; keep one of them"),
        ("steps:\n- top_fraction: {fraction: 0.3, fraction: 0.9}\n", "line 2: 'fraction' is given twice"),
        ("steps: &x [all_of: *x]\n", "line 1: *x contains itself"),
        ("steps:\n- &x\n  any_of: [*x]\n", "line 3: *x contains itself"),
        ("steps:\n- " + "not: {" * 60 + "threshold: {}" + "}" * 60, "line 2: nested deeper than 50"),
        ("steps:\n- " + "[" * 5000 + "]" * 5000, "line 2: nested deeper than 50"),
        ("steps:\n\t- threshold: {}\n", "line 2: found character"),
        ("steps: []\n---\nsteps: []\n", "but found another document"),
        ("steps: !!python/object/apply:os.system [echo]\n", "could not determine a constructor"),
        ("steps: [threshold: {at_least: !!timestamp 2020-99-99}]\n", "unusable YAML: month must be in 1..12"),
        ("steps: []\nname: \x01\n", "special characters are not allowed"),
        ("steps: [{? {a: 1} : {}}]\n", "found unhashable key"),
        ("steps: [{threshold: {at_least: 1" + "0" * 5000 + "}}]\n", "Exceeds the limit"),
    ],
)
def test_yaml_that_is_no_recipe_is_refused_in_one_line(tmp_path, text, expected):
    assert expected in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- threshold: 0.3", "a step is written as '- threshold: {parameter: value}', got 'threshold: 0.3'"),
        ("- threshold: score", "got 'threshold: 'score''"),
        ("- threshold: [column, score]", "a step is written as"),
        ("- {1: 2, foo: 3}", "a step is written as '- kind: {parameter: value}', got {1: 2, 'foo': 3}"),
        ("- threshold: {at_least: 2020-99-99}", "threshold.at_least must be of type float, got '2020-99-99'"),
        ("- threshold: {at_least: 2020-01-01}", "threshold.at_least must be of type float, got '2020-01-01'"),
    ],
)
def test_a_step_that_is_none_is_refused_in_one_line(tmp_path, text, expected):
    assert expected in refusal(tmp_path, f"name: a\nsteps:\n{text}\n")


def test_parameters_of_any_type_are_unknown(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("steps:\n- threshold: {1: 2, foo: 3}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(str(path))
    assert [line.partition(" is unknown")[0].rpartition(".")[2] for line in caught.value.problems] == ["1", "foo"]


def test_anchors_and_merges_are_read():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: [{<<: *b}, *a]\n"
    assert yaml_text.load(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 3, "y": 2},
        "c": [{"x": 3, "y": 2}, {"x": 1, "y": 2}],
    }
