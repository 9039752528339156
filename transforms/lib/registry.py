"""Which steps, annotators, scorers and shard formats there are: classes in the folder of their kind.

A class states its names as a literal on one line of its body, for example ``kind = "threshold"``. The literals are read
from the source text, so that a list of names costs no import of numpy, pyarrow or Beam. A class is imported when it is
loaded.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transforms.lib.plugins import Plugin, Plugins

_LIB = os.path.dirname(__file__)
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
_LITERAL = re.compile(r"""^    (\w+) = ("[^"\n]*"|\((?:"[^"\n]*"(?:, )?,?)+\)|-?\d+|True|False)$""", re.MULTILINE)


class Entry(NamedTuple):
    """Where a registered class is.

    Attributes:
      module: dotted name.
      attribute: name of the class in the module.
      facts: other literals of the class's body, attribute -> value.
    """

    module: str
    attribute: str
    facts: Mapping[str, Any]

    def load(self) -> Any:
        """Imports the module and returns the class."""
        return getattr(importlib.import_module(self.module), self.attribute)


class Registry(Mapping[str, "Entry | Plugin"]):
    """The classes of one folder of ``lib`` that state names, by name, sorted; and those that other packages bring.

    Iteration and length are about Winnow's own, which the pages of flags list. A name is looked up among these first,
    then among ``plugins``.

    Args:
      folder: below ``lib``, with slashes.
      attribute: that a class sets to its name, or to a tuple of its names.
      group: of the entry points of other packages; empty where there can be none.
    """

    def __init__(self, folder: str, attribute: str, group: str = "") -> None:
        self._folder = folder
        self._attribute = attribute
        self._group = group

    def __getitem__(self, name: str) -> Entry | Plugin:
        return self._entries[name] if name in self._entries else self.plugins[name]

    @cached_property
    def plugins(self) -> Plugins | Mapping[str, Plugin]:
        """The parts of other packages; those whose name Winnow itself has are not used."""
        if not self._group:
            return {}
        from transforms.lib.plugins import Plugins  # it reads the environment, which most starts have no use for

        return Plugins(self._group)

    def every(self) -> list[str]:
        """Returns all names, Winnow's own first."""
        return [*self._entries, *(name for name in self.plugins if name not in self._entries)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        folder = os.path.join(_LIB, self._folder)
        for file in sorted(file for file in os.listdir(folder) if file.endswith(".py")):
            module = f"transforms.lib.{self._folder.replace('/', '.')}.{file.removesuffix('.py')}"
            with open(os.path.join(folder, file), encoding="utf-8") as source:
                classes = [*_classes(source.read())]
            for kind, facts in classes:
                stated = facts.get(self._attribute, ())
                for name in [stated] if isinstance(stated, str) else stated:
                    if name in entries:
                        raise ValueError(f"{entries[name].module} and {module} both register {name!r}; rename one")
                    entries[name] = Entry(module, kind, facts)
        return dict(sorted(entries.items()))


def _classes(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the classes of a module: name, and the attributes that its body sets to literals of one line.

    A whole syntax tree of each file would take ten times as long, at every start of the command.
    """
    heads = [*_CLASS.finditer(source)]
    for number, head in enumerate(heads, 1):
        end = heads[number].start() if number < len(heads) else len(source)
        literals = _LITERAL.finditer(source, head.end(), end)
        yield head[1], {literal[1]: ast.literal_eval(literal[2]) for literal in literals}


STEPS = Registry("recipes/steps", "kind", "winnow.steps")
ANNOTATORS = Registry("annotators", "column_sets", "winnow.annotators")
FORMATS = Registry("reshard", "name")
SCORERS = Registry("scorers", "kind", "winnow.scorers")
INPUTS = Registry("inputs", "name")
