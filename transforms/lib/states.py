"""Solved states as JSON, so that a decision can be replayed after the run: exact, and nothing is unpickled."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import io
import math
import re
from typing import Any

import numpy as np

_PACKAGE = "transforms.lib."
_NAME = re.compile(r"([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)\.([A-Za-z_][A-Za-z0-9_]*)")


def to_json(state: Any) -> Any:
    """Returns a state as JSON values, from which ``of_json`` makes an equal one, of equal types.

    Args:
      state: None, bool, int, float, str, numpy arrays (no objects) and numbers, and tuples, lists, NamedTuples and
        dataclasses of the library of them.

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
        return [to_json(one) for one in state]
    if type(state) is tuple:
        return {"tuple": [to_json(one) for one in state]}
    if _is_record(type(state)):
        return {"record": _name_of(type(state)), "fields": {n: to_json(getattr(state, n)) for n in _fields(state)}}
    raise TypeError(f"a state holds a {type(state).__name__}, which cannot be written down")


def of_json(value: Any) -> Any:
    """Returns the state that ``to_json`` wrote down.

    Raises:
      ValueError: it is not what ``to_json`` writes, or names anything but a record of the library.
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


def _is_record(kind: type) -> bool:
    return kind.__module__.startswith(_PACKAGE) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"))


def _name_of(kind: type) -> str:
    return f"{kind.__module__.removeprefix(_PACKAGE)}.{kind.__qualname__}"


def _fields(state: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(state):
        return tuple(field.name for field in dataclasses.fields(state))
    return tuple(state._fields)


def _record(name: str) -> Any:
    """Returns the NamedTuple or dataclass of the library that ``_name_of`` named; no other module is ever imported."""
    found = _NAME.fullmatch(name)
    try:
        kind = getattr(importlib.import_module(_PACKAGE + found[1]), found[2]) if found else None
    except (ImportError, AttributeError):
        kind = None
    if not isinstance(kind, type) or not _is_record(kind) or _name_of(kind) != name:
        raise ValueError(f"{name!r} is no state of this version of Winnow")
    return kind
