"""Which steps, annotators and shard formats there are: each is a class in the folder of its kind, and is found there.

A class states its names as a literal in its body, for example ``kind = "threshold"``. The literals are read from the
source text, so that a list of names costs no import of numpy, pyarrow or Beam; a class is imported when it is loaded.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

_LIB = Path(__file__).parent


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
        for path in sorted((_LIB / self._folder).glob("*.py")):
            module = f"transforms.lib.{self._folder.replace('/', '.')}.{path.stem}"
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                facts = _literals(node) if isinstance(node, ast.ClassDef) else {}
                if self._attribute not in facts:
                    continue
                assert isinstance(node, ast.ClassDef)
                stated = facts[self._attribute]
                for name in [stated] if isinstance(stated, str) else stated:
                    if name in entries:
                        raise ValueError(f"{entries[name].module} and {module} both register {name!r}; rename one")
                    entries[name] = Entry(module, node.name, facts)
        return dict(sorted(entries.items()))


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """Returns the attributes that the body of a class sets to literals."""
    literals: dict[str, Any] = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                literals[statement.targets[0].id] = ast.literal_eval(statement.value)
            except ValueError:  # computed when the class is made
                continue
    return literals


STEPS = Registry("recipes/steps", "kind")
ANNOTATORS = Registry("annotators", "column_sets")
FORMATS = Registry("reshard", "name")
