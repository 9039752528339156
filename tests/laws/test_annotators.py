"""Winnow's own annotators keep the laws of ``winnow.laws_of_annotators``; a new one is tested once it is there."""

import importlib
import inspect
import pkgutil

import pytest

from tests.laws import examples
from transforms.lib import annotators, registry
from transforms.lib.annotators.annotator import Annotator
from winnow.laws_of_annotators import LAWS, Case

ALL = examples.pairs(registry.ANNOTATORS, examples.ANNOTATORS)


def test_every_annotator_is_registered():
    named = {
        name
        for module in pkgutil.iter_modules(annotators.__path__, f"{annotators.__name__}.")
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(value, Annotator) and not inspect.isabstract(value)
        for name in value.column_sets
    }
    assert named == set(registry.ANNOTATORS)
    assert all(name in entry.load().column_sets for name, entry in registry.ANNOTATORS.items())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("name", "example"), ALL)
def test_an_annotator_keeps_the_law(law, name, example, tmp_path):
    found = examples.checked(name, example)
    law(Case(name, found.settings, found.files(tmp_path)))
