"""Checks a request against Google's own description of the Dataflow API, the v1b3 discovery document.

The document lies in the package google-api-python-client; no network is needed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from transforms.lib.errors import InputError

_TYPES: dict[str, Any] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


@functools.cache
def document() -> dict[str, Any]:
    """Returns the discovery document.

    Raises:
      InputError: the package that holds it is not installed.
    """
    package = importlib.util.find_spec("googleapiclient")
    if package is None or not package.submodule_search_locations:
        raise InputError("google-api-python-client is missing; pip install 'winnow-beam[launch]'")
    folder = Path(package.submodule_search_locations[0]) / "discovery_cache" / "documents"
    return dict(json.loads((folder / "dataflow.v1b3.json").read_text(encoding="utf-8")))


def problems(value: Any, schema: str) -> list[str]:
    """Returns what is wrong with a JSON value, one line each with its place; empty when nothing is.

    Args:
      value: as ``json.loads`` gives it.
      schema: a name in the document's ``schemas``, for example ``LaunchFlexTemplateRequest``.

    A field whose description begins with "Required." must be there; the document marks required fields in no other way.
    """
    return list(_check(value, {"$ref": schema}, "$"))


def _check(given: Any, schema: dict[str, Any], place: str) -> list[str]:
    schema = document()["schemas"][schema["$ref"]] if "$ref" in schema else schema
    kind = schema.get("type", "any")
    value: Any = given
    if kind == "any":
        return []
    if kind == "string" and schema.get("format") in ("int64", "uint64") and isinstance(value, int):
        value = str(value)  # both forms are allowed in JSON
    if "enum" in schema and type(value) is int and 0 <= value < len(schema["enum"]):
        return []  # JSON of protocol buffers names an enum's value or numbers it
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{place} must be of type {kind}, got {json.dumps(value)}"]
    if kind == "array":
        return [line for at, one in enumerate(value) for line in _check(one, schema["items"], f"{place}[{at}]")]
    if kind == "object":
        return _check_object(value, schema, place)
    if kind == "string":
        return _check_text(value, schema, place)
    return []


def _check_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties")
    problems = []
    for name, one in value.items():
        if name not in fields and others is None:
            problems.append(f"{place}.{name} is unknown; allowed: {', '.join(sorted(fields))}")
        else:
            problems += _check(one, fields.get(name, others), f"{place}.{name}")
    needed = [name for name, field in fields.items() if field.get("description", "").startswith("Required.")]
    return problems + [f"{place}.{name} is missing" for name in needed if value.get(name) in (None, "")]


def _check_text(value: str, schema: dict[str, Any], place: str) -> list[str]:
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place} must be one of {', '.join(schema['enum'])}, got {value!r}"]
    if schema.get("format") in ("int64", "uint64") and not re.fullmatch(r"-?[0-9]+", value):
        return [f"{place} must be a whole number, got {value!r}"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [f"{place} must match {schema['pattern']}, got {value!r}"]
    return []
