"""Winnow's own steps keep the laws of ``winnow.laws_of_steps``; a new step is tested once its module is there."""

import importlib
import inspect
import pkgutil

import pytest

from tests.laws import examples
from transforms.lib import registry
from transforms.lib.recipes import parse, steps
from transforms.lib.recipes.contract.step import Step
from winnow.laws_of_steps import LAWS, Case

ALL = examples.pairs(registry.STEPS, examples.STEPS)


def test_every_step_is_registered():
    named = {
        value.kind
        for module in pkgutil.iter_modules(steps.__path__, f"{steps.__name__}.")
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(value, Step) and not inspect.isabstract(value) and "kind" in vars(value)
    }
    assert named == set(registry.STEPS) == {*parse.STEPS, *parse.COMPOSED}
    assert all(entry.load().kind == kind for kind, entry in registry.STEPS.items())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "example"), ALL)
def test_a_step_keeps_the_law(law, name, example, tmp_path):
    found = examples.checked(name, example)
    law(Case(name, found.settings, found.files(tmp_path)))
