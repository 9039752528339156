"""Stamps: short digests of what a file was made from. Equal stamps, equal bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """Returns JSON with sorted keys and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def stamp(**parts: Any) -> str:
    """Returns 16 hex digits of the sha256 over the named parts (JSON values)."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def sha256(data: bytes | memoryview) -> str:
    """Returns the 64 hex digits of the sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: str) -> str:
    """Returns the 64 hex digits of a local file's sha256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
