"""Which steps, annotators and shard formats there are: each is a class in the folder of its kind, and is found there.

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
from typing import Any, NamedTuple

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


class Registry(Mapping[str, Entry]):
    """The classes of one folder of ``lib`` that state names, by name, sorted.

    Args:
      folder: below ``lib``, with slashes.
      attribute: that a class sets to its name, or to a tuple of its names.
    """

    def __init__(self, folder: str, attribute: str) -> None:
        self._folder = folder
        self._attribute = attribute

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

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


STEPS = Registry("recipes/steps", "kind")
ANNOTATORS = Registry("annotators", "column_sets")
FORMATS = Registry("reshard", "name")
INPUTS = Registry("inputs", "name")
