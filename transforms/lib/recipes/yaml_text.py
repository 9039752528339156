"""The text of a recipe: YAML that says each thing once, and nothing that cannot be a recipe."""

from __future__ import annotations

from typing import Any

import yaml

from transforms.lib.errors import ConfigError

MAX_DEPTH = 50  # lists and mappings inside one another; two a step of steps


class _Loader(yaml.SafeLoader):
    """Reads plain values. Refuses a key given twice, an anchor inside itself, and what is nested too deeply.

    A date is text, since no step has one. ``<<`` merges, and what stands beside it wins, as YAML has it.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._open: list[Any] = []  # anchors of the lists and mappings that the next node is in

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._open:
            raise yaml.MarkedYAMLError(problem=f"*{event.anchor} contains itself", problem_mark=mark)
        if len(self._open) > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH}", problem_mark=mark)
        return super().compose_node(parent, index)

    def compose_sequence_node(self, anchor: Any) -> Any:
        self._open.append(anchor)
        node = super().compose_sequence_node(anchor)
        self._open.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        self._open.append(anchor)
        node = super().compose_mapping_node(anchor)
        self._open.pop()
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else id(key)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is given twice; keep one of them", problem_mark=key.start_mark
                )
            seen.add(name)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """Returns the document that a recipe's text holds, as plain values.

    Raises:
      ConfigError: it is not YAML, is no one document, says something twice, contains itself, or is nested too deeply.
    """
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError) as error:  # the latter: a number or date that Python does not make
        raise ConfigError(f"unusable YAML: {_said(error)}") from None


def lines(text: str) -> dict[tuple[str | int, ...], int]:
    """Returns where a document says what: path of keys and of positions in lists -> line, counted from 1.

    Args:
      text: that ``load`` takes.
    """
    found: dict[tuple[str | int, ...], int] = {}

    def walk(node: yaml.Node, path: tuple[str | int, ...]) -> None:
        children: list[tuple[str | int, Any, Any]] = []
        if isinstance(node, yaml.MappingNode):
            children = [(str(key.value), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = [(number, value, value) for number, value in enumerate(node.value)]
        for name, place, value in children:
            found[(*path, name)] = place.start_mark.line + 1
            walk(value, (*path, name))

    root = _Loader(text).get_single_node()
    if root is not None:
        walk(root, ())
    return found


def _said(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {' '.join(error.problem.split())}"
    return " ".join(str(error).split())
