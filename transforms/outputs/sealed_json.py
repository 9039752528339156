"""JSON documents that say the digest of their own content, so that an edit is noticed where they are read.

A digest tells an accident and a careless edit. It has no key, so it stops nobody who writes a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIELD = "sha256"


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON object with the sha256 of all else that it holds; an earlier digest is replaced."""
    return {**_content(document), FIELD: _digest(document)}


def is_as_written(document: Mapping[str, Any]) -> bool:
    """Tells whether a JSON object holds what ``sealed`` saw; True of one without a digest, as Winnow 0.1 wrote them."""
    return FIELD not in document or document[FIELD] == _digest(document)


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != FIELD}


def _digest(document: Mapping[str, Any]) -> str:
    """Returns the sha256 of the content as a reader gets it: tuples are lists, and names are text."""
    read = json.loads(json.dumps(_content(document)))
    text = json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
