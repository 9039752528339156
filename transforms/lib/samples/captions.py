"""The caption of a sample and its json member, decoded strictly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from transforms.lib.errors import Notice, Reason, SampleError

MAX_JSON_BYTES = 1 << 24
"""Longest json member that is parsed: 16 MiB."""

_CAPTION_NAMES = ("cap", "caption", "text")  # what people call a caption's member beside txt
_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class CaptionRule:
    """Where a sample's caption is.

    Attributes:
      field: field of the json member; empty for the ``.txt`` member, else the json field ``caption``.
      member: lower-case extension of the member that has it; empty for ``.txt``.
      pick: which caption of a list: ``first``, ``longest``, ``all`` (one per line) or ``best``, which a network picks
        later from ``captions_of``. Empty for the first one, and for a text that is one caption whatever its lines.
    """

    field: str = ""
    member: str = ""
    pick: str = ""


def caption_of(
    members: Mapping[str, bytes], rule: CaptionRule | str = "", notices: set[Notice] | None = None, named: bool = True
) -> str:
    """Returns the caption of a sample: that of ``captions_of`` which a rule picks, the first one for ``best``.

    Args:
      members, rule, notices, named: as ``captions_of`` takes them.

    Returns:
      Text that is not blank and can be encoded as UTF-8; any length.

    Raises:
      SampleError: as ``captions_of``.
    """
    rule = CaptionRule(rule) if isinstance(rule, str) else rule
    found = captions_of(members, rule, notices, named)
    if rule.pick == "longest":
        return max(found, key=len)
    return "\n".join(found) if rule.pick == "all" else found[0]


def captions_of(
    members: Mapping[str, bytes], rule: CaptionRule, notices: set[Notice] | None = None, named: bool = True
) -> list[str]:
    """Finds the captions of a sample.

    They are in the ``.txt`` member, or without one in the field ``caption`` of the ``.json`` member, or in a member
    that is named otherwise and can be nothing else. White space around each is stripped; what is inside, line breaks
    and NUL included, stays as it is. A list of texts in JSON, in the json field or as the whole text, is a list of
    captions, of which blank ones do not count. So are the lines of a text, if the rule says what to pick.

    Args:
      members: data by lower-case extension, as in ``RawSample.members``.
      rule: when it names a field or a member, the captions are there and nowhere else.
      notices: gets ``CAPTION_MEMBER`` and ``CAPTION_LIST``; None where nobody counts them.
      named: the image has a usual name, so that ``NAME.txt`` beside it is something else than its caption.

    Returns:
      At least one text; none is blank, all can be encoded as UTF-8.

    Raises:
      SampleError: ``CAPTION_MISSING`` when there is none, it is blank or no text; ``CAPTION_NOT_UTF8``;
        ``JSON_INVALID`` when the json member is needed and unreadable.
    """
    if rule.field or (not rule.member and "txt" not in members and "json" in members):
        try:
            found = _in_json(members, rule.field or "caption")
        except SampleError:
            other = "" if rule.field else _other_member(members, named)
            if not other:
                raise
            found = _in_text(members, other, rule, notices)
    else:
        member = rule.member or ("txt" if "txt" in members else _other_member(members, named))
        if member not in members:
            wanted = f"no .{member} member" if member else "neither a .txt nor a .json member"
            raise SampleError(Reason.CAPTION_MISSING, f"{wanted}; members: {listed(members)}")
        found = _in_text(members, member, rule, notices)
    if notices is not None and len(found) > 1:
        notices.add(Notice.CAPTION_LIST)
    return found


def listed(members: Mapping[str, bytes]) -> str:
    """Returns the extensions of members for a message."""
    return ", ".join(sorted(members))[:200] or "none"


def _in_json(members: Mapping[str, bytes], field: str) -> list[str]:
    if "json" not in members:
        raise SampleError(Reason.CAPTION_MISSING, f"no .json member; members: {listed(members)}")
    value = json_of(members).get(field)
    if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
        return _checked(value)
    if not isinstance(value, str):
        found = "no" if value is None else f"{type(value).__name__} in"
        raise SampleError(Reason.CAPTION_MISSING, f"{found} json field {field!r}")
    return _checked([value])


def _in_text(members: Mapping[str, bytes], member: str, rule: CaptionRule, notices: set[Notice] | None) -> list[str]:
    if notices is not None and member not in ("txt", rule.member):
        notices.add(Notice.CAPTION_MEMBER)
    text = _text(members[member])
    if "[" in text and (found := _json_list(text)):
        return _checked(found)
    return _stripped(text.splitlines() if rule.pick else [text])  # text that was UTF-8 can be written as such


def _json_list(text: str) -> list[str]:
    """Returns the texts of a JSON list that is all of a text; none where it is something else."""
    stripped = text.strip()
    if not (stripped.startswith('["') or stripped.startswith("[ ")) or not stripped.endswith("]"):
        return []
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else []


def _other_member(members: Mapping[str, bytes], named: bool) -> str:
    """Returns the extension of the one member that must be the caption though it is no ``.txt``; empty for none."""
    words = [name for name in members if name in _CAPTION_NAMES]
    words = words or [name for name in members if not named and name.rpartition(".")[2] in ("txt", *_CAPTION_NAMES)]
    return words[0] if len(words) == 1 else ""


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


def _checked(texts: list[str]) -> list[str]:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SampleError(Reason.CAPTION_NOT_UTF8, f"a lone surrogate at character {error.start}") from error
    return _stripped(texts)


def _stripped(texts: list[str]) -> list[str]:
    captions = [text for text in map(str.strip, texts) if text]
    if not captions:
        raise SampleError(Reason.CAPTION_MISSING, "blank")
    return captions


class _RepeatedFieldError(ValueError):
    """An object has a field twice."""


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedFieldError
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unrepeated)  # building one costs as much as reading a usual document


def _parsed(text: str, notices: set[Notice]) -> Any:
    """Returns the value of a json text: at once where nothing about it is odd."""
    if "NaN" not in text and "Infinity" not in text:
        try:
            return _DECODER.decode(text)
        except ValueError:
            pass
    return _parsed_odd(text, notices)


def _parsed_odd(text: str, notices: set[Notice]) -> Any:
    def missing(_: str) -> None:
        notices.add(Notice.JSON_NOT_FINITE)

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            notices.add(Notice.JSON_REPEATED_FIELD)
        return found

    return json.loads(text, parse_constant=missing, object_pairs_hook=fields)
