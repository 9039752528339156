"""Every public name says what it is: itself, or, for a method that overrides another, by the one that it overrides."""

import importlib
import inspect

import pytest

from tests.house import ROOT, TOPS, is_package, modules

MODULES = [name for name, path in modules(ROOT).items() if not is_package(path) and not name.endswith("tfio_process")]


def documented(kind, name):
    """Whether a method of a class, or one that it overrides, has a docstring; a library's own methods count as well."""
    overridden = [vars(base)[name] for base in kind.__mro__ if name in vars(base)]
    foreign = any(not base.__module__.startswith((*TOPS, "made")) for base in kind.__mro__ if name in vars(base))
    return foreign or any(getattr(member, "__doc__", None) for member in overridden)


def undocumented(module):
    for name, kind in vars(module).items():
        if name.startswith("_") or getattr(kind, "__module__", "") != module.__name__ or not inspect.isclass(kind):
            continue
        for attribute, member in vars(kind).items():
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if attribute.startswith("_") or not inspect.isfunction(function) or function.__name__ == "<lambda>":
                continue
            if not documented(kind, attribute):
                yield f"{name}.{attribute}"


@pytest.mark.parametrize("name", MODULES)
def test_every_public_method_is_documented(name):
    assert list(undocumented(importlib.import_module(name))) == []


def test_a_method_without_words_is_found():
    class Part:
        def known(self):
            """Does it."""

        def unknown(self):
            pass

    class Own(Part):
        def known(self):
            pass

    module = type(inspect)("made")
    for kind in (Part, Own):
        kind.__module__ = "made"
        setattr(module, kind.__name__, kind)
    assert list(undocumented(module)) == ["Part.unknown"]
