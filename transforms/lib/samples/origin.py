"""What the json of a sample says of where it comes from: its url, and whether its owner opted out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from transforms.lib.columnstore.text import NO

_URLS = ("url", "URL")  # as img2dataset writes it, and as LAION's tables have it
_LONGEST = 8192  # characters of a url that are kept


def url_of(document: Mapping[str, Any]) -> str:
    """Returns the json field ``url``, or else ``URL``, at most 8,192 characters; empty where neither is text."""
    for name in _URLS:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value[:_LONGEST] if value.isascii() else value[:_LONGEST].encode("utf-8", "replace").decode()
    return ""


def opted_out(document: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Returns the names of the fields that are set, sorted, separated by commas."""
    if document.keys().isdisjoint(fields):
        return ""
    return ",".join(sorted(name for name in fields if name in document and _is_set(document[name])))


def _is_set(value: Any) -> bool:
    """Tells whether a json value says yes: true, a number but 0, a text but no, a list or object with one of these."""
    if isinstance(value, str):
        return value.strip().lower() not in NO
    if isinstance(value, float):
        return value != 0 and not math.isnan(value)
    if isinstance(value, list | dict):
        return any(map(_is_set, value.values() if isinstance(value, dict) else value))
    return bool(value)
