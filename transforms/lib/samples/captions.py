"""The caption of a sample and its json member, decoded strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from transforms.lib.errors import Notice, Reason, SampleError

MAX_JSON_BYTES = 1 << 24
"""Longest json member that is parsed: 16 MiB."""

_BOM = b"\xef\xbb\xbf"


def caption_of(members: Mapping[str, bytes], json_field: str = "") -> str:
    """Finds the caption of a sample.

    It is the ``.txt`` member, or without one the field ``caption`` of the ``.json`` member. White space
    around it is stripped; what is inside, line breaks and NUL included, stays as it is.

    Args:
      members: data by lower-case extension, as in ``RawSample.members``.
      json_field: when given, the caption is that field of the ``.json`` member and nothing else.

    Returns:
      Text that is not blank and can be encoded as UTF-8; any length.

    Raises:
      SampleError: ``CAPTION_MISSING`` when there is none, it is blank or not a string; ``CAPTION_NOT_UTF8``;
        ``JSON_INVALID`` when the json member is needed and unreadable.
    """
    if not json_field and "txt" in members:
        return _checked(_text(members["txt"]))
    field = json_field or "caption"
    if "json" not in members:
        wanted = "no .json member" if json_field else "neither a .txt nor a .json member"
        raise SampleError(Reason.CAPTION_MISSING, wanted)
    value = json_of(members).get(field)
    if not isinstance(value, str):
        found = "no" if value is None else f"{type(value).__name__} in"
        raise SampleError(Reason.CAPTION_MISSING, f"{found} json field {field!r}")
    return _checked(value)


def json_of(members: Mapping[str, bytes], notices: set[Notice] | None = None) -> dict[str, Any]:
    """Parses the ``.json`` member of a sample.

    Python, pandas and img2dataset write a missing number as NaN, which is no JSON; it is read as null, and so is
    Infinity. Of a field that comes twice the last one counts.

    Args:
      members: data by lower-case extension.
      notices: gets what is odd about the member; None where nobody counts it.

    Returns:
      The object; empty when there is no ``.json`` member. Strings may hold lone surrogates (``\\ud800``).

    Raises:
      SampleError: ``JSON_INVALID``: longer than 16 MiB, not UTF-8, broken, nested too deeply, a number of
        more than 4,300 digits, or not an object.
    """
    data = members.get("json")
    if data is None:
        return {}
    if len(data) > MAX_JSON_BYTES:
        raise SampleError(Reason.JSON_INVALID, f"{len(data)} bytes, allowed {MAX_JSON_BYTES}")
    try:
        value = _parsed(data.removeprefix(_BOM).decode(), set() if notices is None else notices)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise SampleError(Reason.JSON_INVALID, f"{type(error).__name__}: {error}"[:300]) from error
    if not isinstance(value, dict):
        raise SampleError(Reason.JSON_INVALID, f"a {type(value).__name__}, not an object")
    return value


def _text(data: bytes) -> str:
    try:
        return data.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise SampleError(Reason.CAPTION_NOT_UTF8, f"byte {error.start}: {error.reason}") from error


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SampleError(Reason.CAPTION_NOT_UTF8, f"a lone surrogate at character {error.start}") from error
    caption = text.strip()
    if not caption:
        raise SampleError(Reason.CAPTION_MISSING, "blank")
    return caption


def _parsed(text: str, notices: set[Notice]) -> Any:
    def missing(_: str) -> None:
        notices.add(Notice.JSON_NOT_FINITE)

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            notices.add(Notice.JSON_REPEATED_FIELD)
        return found

    return json.loads(text, parse_constant=missing, object_pairs_hook=fields)
