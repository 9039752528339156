"""Rule 2 of uids: what names a sample, from the sample alone, wherever it lies and however its shard is called.

A uid is the first of these that there is:

1. the json field that ``--uid_field`` names, as text or number;
2. the uid in a key that Winnow wrote, ``UID-COPY``;
3. the first 16 bytes of SHA-256 over ``winnow uid 2``, the key, the SHA-256 of the image, and the caption as it is
   stored, each after its length as 8 bytes big-endian.

Rule 1, that of Winnow 0.1, had the shard's name in the hash in the place of ``winnow uid 2``, took the caption that
``--caption_field`` names, and took json fields of 1 to 32 hex digits alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

VERSION = "2"

_HEX = re.compile(r"[0-9a-fA-F]{1,32}")
_UUID = re.compile(r"(?:urn:uuid:)?\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?", re.IGNORECASE)
_OURS = re.compile(r"([0-9a-f]{32})-[0-9]+")
_NAME = b"winnow uid text"
_SAMPLE = b"winnow uid 2"
_LONGEST = 1000  # characters of a text that is kept


def is_uid(text: str) -> bool:
    """Tells whether a text is a uid as it stands: 1 to 32 hex digits."""
    return _HEX.fullmatch(text) is not None


def of_text(text: str) -> str:
    """Returns the uid that a text names.

    1 to 32 hex digits are that number, also in upper case; a UUID is its 128 bits, also in braces or behind
    ``urn:uuid:``; both without the blanks around them. Any other text is the first 16 bytes of SHA-256 over
    ``winnow uid text`` and the text in UTF-8, each after its length as 8 bytes big-endian.

    Returns:
      32 lower-case hex digits.
    """
    bare = text.strip()
    if is_uid(bare):
        return bare.lower().zfill(32)
    if found := _UUID.fullmatch(bare):
        return uuid.UUID(found[1]).hex
    return _hashed(_NAME, text.encode("utf-8", "surrogatepass"))


def text_of(value: object) -> str | None:
    """Returns the text of a json value that is to name a sample; None for what names none.

    Whole numbers are their decimal digits, also 7.0, as pandas writes a column with gaps. A list, an object, a truth
    value, NaN and a blank text name nothing.
    """
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return None
        return str(int(value)) if value == int(value) else repr(value)
    return str(value) if isinstance(value, int) else None


def is_odd(value: object) -> bool:
    """Tells whether a json value is there and names nothing: a list, an object or a truth value."""
    return isinstance(value, (bool, list, dict))


def named(document: Mapping[str, Any], key: str, field: str) -> tuple[str, str] | None:
    """Returns what a sample is called in its json member or in its key.

    Args:
      document: the json member, empty without one.
      key: of the sample.
      field: json field that holds the uid; ``none`` for no field.

    Returns:
      The uid, 32 lower-case hex digits, and its text where that is another, at most 1,000 characters of it, else "";
      None where nothing names the sample.
    """
    text = None if field == "none" else text_of(document.get(field))
    if text is not None:
        if is_uid(text):
            return text.lower().zfill(32), ""
        return of_text(text), text[:_LONGEST].encode("utf-8", "replace").decode()
    ours = _OURS.fullmatch(key)
    return (ours[1], "") if ours else None


def of_content(key: str, image_sha256: bytes, caption: bytes) -> str:
    """Returns the uid of a sample that nothing names: 32 lower-case hex digits.

    Args:
      key: of the sample.
      image_sha256: SHA-256 of the encoded image, 32 bytes; that of no bytes where there is no image.
      caption: as ``stored_caption`` returns it.
    """
    return _hashed(_SAMPLE, key.encode(), image_sha256, caption)


def stored_caption(members: Mapping[str, bytes], document: Mapping[str, Any]) -> bytes:
    """Returns the caption as a sample stores it, whichever one is scored: ``.txt``, else the json field ``caption``.

    Args:
      members: data by lower-case extension.
      document: the json member, empty without one.

    Returns:
      The bytes of the ``.txt`` member; or the json text in UTF-8, and any other json value as JSON without blanks and
      with sorted keys; empty where there is neither.
    """
    if "txt" in members:
        return members["txt"]
    value = document.get("caption")
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _hashed(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:32]
