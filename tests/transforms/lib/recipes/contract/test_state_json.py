import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.planning.recipes import load_recipe, recipe_names
from transforms.lib.recipes import parse
from transforms.lib.recipes.contract import state_json
from transforms.lib.recipes.sampling.draw_rules import Rules
from transforms.lib.recipes.sampling.draw_step import DrawState
from transforms.lib.recipes.sampling.race import Race
from transforms.lib.recipes.steps.all_any_not import PartStates
from transforms.lib.recipes.steps.band import BandState
from transforms.lib.recipes.steps.metaclip import BalanceState
from transforms.lib.recipes.steps.mix import MixState
from transforms.lib.recipes.steps.top_fraction import TopState

TOP = TopState(4, 10, 3, 3194818776, 1, 2, 7, (18446744073709551615, 5, 3))


@pytest.mark.parametrize(
    "state",
    [
        None,
        TOP,
        BandState(TOP, TopState()),
        MixState(3, (0.1, -0.0, 1e-320), (float("inf"), float("-inf"), 1 / 3)),
        PartStates(4, (None, TOP, PartStates(0, ()))),
        DrawState(5, 5, None, Race(Rules("draw", 5, 0.15), 0.86, -1.5, last=(0.25, np.uint64(3), 2, 1, 0))),
        [True, "text", 2**70, np.float32(0.1)],
    ],
)
def test_a_state_comes_back_as_it_was(state):
    back = state_json.of_json(json.loads(json.dumps(state_json.to_json(state), allow_nan=False)))
    assert back == state
    assert repr(back) == repr(state)


@pytest.mark.parametrize("dtype", ["<i8", "<u2", "<f4", [("hash", "<u8"), ("row", "<i8")]])
def test_arrays_come_back_to_the_bit(dtype):
    array = np.frombuffer(np.random.default_rng(0).bytes(160), np.dtype(dtype))
    back = state_json.of_json(json.loads(json.dumps(state_json.to_json(BalanceState(array)))))
    assert back.counts.dtype == array.dtype
    assert back.counts.tobytes() == array.tobytes()


@pytest.mark.parametrize("state", [{1: 2}, object(), pickle.Pickler, np.array([None])])
def test_what_cannot_be_written_down_is_refused(state):
    with pytest.raises((TypeError, ValueError)):
        state_json.to_json(state)


@pytest.mark.parametrize(
    "name",
    ["os.system", "states.to_json", "topfraction.Nothing", "errors.Reason", "../x.Y", "top_fraction/2", ""],
)
def test_nothing_but_records_of_the_library_is_made(name):
    with pytest.raises(ValueError, match="is no state of this version"):
        state_json.of_json({"record": name, "fields": {}})
    with pytest.raises(ValueError, match="no state is written like"):
        state_json.of_json({"records": name})


WRITTEN = json.loads((Path(__file__).parents[4] / "data/states-0.1.json").read_text())  # by Winnow 0.1 itself


def records(value):
    if isinstance(value, list):
        return {name for one in value for name in records(one)}
    if not isinstance(value, dict):
        return set()
    return {name for one in value.values() for name in records(one)} | {value.get("record")} - {None}


def test_states_of_the_first_version_are_still_read():
    old = {name for name in state_json._KIND_OF if "." in name}
    assert records(WRITTEN) == old
    for written in WRITTEN:
        state = state_json.of_json(written)
        again = json.loads(json.dumps(state_json.to_json(state)))
        assert repr(state_json.of_json(again)) == repr(state)
        assert not records(again) & old


def test_no_record_on_disk_has_the_name_of_a_module_or_class():
    names = records([state_json.to_json(state_json.of_json(written)) for written in WRITTEN])
    assert all(re.fullmatch(r"[a-z_]+/[0-9]+", name) for name in names)


def test_a_name_belongs_to_one_record():
    with pytest.raises(ValueError, match="two records of a state are called 'mix/1'"):
        state_json.record("mix/1")(type("Other", (), {}))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_comes_back_from_what_is_recorded_of_it(name):
    changes = {"text_based": {"text_match.wordnet": "w.zip", "text_match.synsets": "s.txt"}}
    changes["metaclip"] = {"metaclip.metadata": "m.json"}
    changes["metaclip2"] = {"metaclip2.metadata": "m.json"}
    recipe = load_recipe(name, overrides=changes.get(name), seed=7)
    assert parse.of_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_a_composed_recipe_comes_back_too():
    parts = [{"top_fraction": {"label": "a", "fraction": 0.5}}, {"not": {"threshold": {"label": "b", "at_least": 0.1}}}]
    document = {"name": "x", "source": "y", "steps": [{"any_of": parts}, {"mix": {"weights": {"s": 2}, "as": "m"}}]}
    recipe = parse.parse(document, seed=3)
    assert parse.of_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
