"""Columns of the store as fields of a sample's json member."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from transforms.lib.errors import SampleError
from transforms.lib.reshard.scored_members import replaced
from transforms.lib.reshard.shard_format import Members
from transforms.lib.samples.captions import json_of

_JSON = "json"


class AddedField(NamedTuple):
    """A column that goes into the json of each sample, under the name of a field."""

    name: str
    owner: str
    column: str


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """Returns the values of a column as JSON has them.

    A float32 becomes the shortest decimal that names it (0.3, not 0.30000001192092896); what is not finite is None.
    """
    values: list[Any] = column.to_pylist()
    if not pa.types.is_floating(column.type):
        return values
    short = column.cast(pa.string()).to_pylist() if pa.types.is_float32(column.type) else values
    return [
        None if value is None or not math.isfinite(value) else float(text)
        for value, text in zip(values, short, strict=True)
    ]


def with_fields(members: Members, fields: Mapping[str, Any]) -> Members:
    """Returns the members of a sample with fields in its json.

    A field that is there already gets the new value; the others keep their values and their order. NaN and Infinity,
    which JSON does not have, become null. A json member that is no object stays as ``original.json``.

    Args:
      members: (lower-case extension, data) of a sample.
      fields: name -> JSON value.

    Returns:
      members, of which ``.json`` is an object in ASCII; it is the last one where there was none.
    """
    present = any(name == _JSON for name, _ in members)
    try:
        document = json_of(dict(members))
    except SampleError:
        return replaced(members, _JSON, _text(fields))
    text = _text({**document, **fields})
    if not present:
        return [*members, (_JSON, text)]
    return [(name, text if name == _JSON else data) for name, data in members]


def _text(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False).encode()
    except ValueError:  # a number such as 1e999
        return json.dumps(_finite(document)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
