"""Solved states as JSON, so that a decision can be replayed after the run: exact, and nothing is unpickled.

A record on disk has the name and version that ``record`` gave it, never the name of a class or module, so that code can
move. Raise the version when the same fields would mean something else.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

R = TypeVar("R", bound=type)

_KIND_OF: dict[str, type] = {}  # name on disk -> record, former names too
_NAME_OF: dict[type, str] = {}
_FORMER_NAME_OF: dict[type, str] = {}
_ADDED_TO: dict[type, dict[str, Any]] = {}  # fields that are written only where they differ from this


def record(name: str, *, formerly: str = "", added: Mapping[str, Any] | None = None) -> Callable[[R], R]:
    """Makes a NamedTuple or dataclass a record that a state may hold.

    Args:
      name: what it is called on disk: the step's name, a slash and a version.
      formerly: what outputs of Winnow 0.1 call it; they are still read.
      added: field that came later -> its default, at which it is left out, so that files keep their bytes.

    Raises:
      ValueError: another record has the name.
    """

    def register(kind: R) -> R:
        for known in filter(None, (name, formerly)):
            if known in _KIND_OF:
                raise ValueError(f"two records of a state are called {known!r}")
            _KIND_OF[known] = kind
        _NAME_OF[kind] = name
        _FORMER_NAME_OF[kind] = formerly or name
        _ADDED_TO[kind] = dict(added or {})
        return kind

    return register


def to_json(state: Any, *, formerly: bool = False) -> Any:
    """Returns a state as JSON values, from which ``of_json`` makes an equal one, of equal types.

    Args:
      state: None, bool, int, float, str, numpy arrays (no objects) and numbers, and tuples, lists and records
        (see ``record``) of them.
      formerly: whether records have the names of Winnow 0.1, by which stamps of its outputs are computed.

    Raises:
      TypeError: anything else.
    """
    if state is None or type(state) in (bool, int, str):
        return state
    if type(state) is float:
        return state if math.isfinite(state) else {"float": repr(state)}
    if isinstance(state, np.ndarray | np.generic):
        return {"array" if isinstance(state, np.ndarray) else "number": _packed(np.asarray(state))}
    if type(state) is list:
        return [to_json(one, formerly=formerly) for one in state]
    if type(state) is tuple:
        return {"tuple": [to_json(one, formerly=formerly) for one in state]}
    if type(state) in _NAME_OF:
        name = (_FORMER_NAME_OF if formerly else _NAME_OF)[type(state)]
        values = {field: getattr(state, field) for field in _fields(state)}
        values = {
            n: value for n, value in values.items() if n not in (new := _ADDED_TO[type(state)]) or value != new[n]
        }
        return {"record": name, "fields": {n: to_json(value, formerly=formerly) for n, value in values.items()}}
    raise TypeError(f"a state holds a {type(state).__name__}, which cannot be written down")


def of_json(value: Any) -> Any:
    """Returns the state that ``to_json`` wrote down.

    Raises:
      ValueError: it is not what ``to_json`` writes, or names anything but a record.
    """
    if isinstance(value, list):
        return [of_json(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"float": str(text)}:
            return float(text)
        case {"array": str(text)}:
            return _unpacked(text)
        case {"number": str(text)}:
            return _unpacked(text)[()]
        case {"tuple": list(items)}:
            return tuple(of_json(one) for one in items)
        case {"record": str(name), "fields": dict(fields)}:
            return _record(name)(**{field: of_json(one) for field, one in fields.items()})
    raise ValueError(f"no state is written like {str(value)[:100]}")


def _packed(array: np.ndarray) -> str:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return base64.b64encode(sink.getvalue()).decode()


def _unpacked(text: str) -> Any:
    return np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)


def _fields(state: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(state):
        return tuple(field.name for field in dataclasses.fields(state))
    return tuple(state._fields)


def _record(name: str) -> Any:
    if name not in _KIND_OF:
        raise ValueError(f"{name!r} is no state of this version of Winnow")
    return _KIND_OF[name]
