"""Addresses as texts: the globs that users write, and paths written as file://. Nothing here looks at a store.

The globs are ours because the standard library's know only disks before Python 3.13, and Beam's cannot be escaped and
want a folder in the place of ``**/``.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_WILD = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\[([*?\[])\]")
_LITERAL = re.compile(rf"(?:{_ESCAPED.pattern}|[^*?\[])*", re.DOTALL)
_FILE = re.compile(r"file:(?://(?:localhost)?)?(?=/)")
_SECRETS = re.compile(r"(https?://)(?:[^/@\s'\"]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*?(?=[:;,)]*(?:[\s'\"]|$)))?")
_PARTS = re.compile(r"(?<![^/])\*\*/|\*\*|\*|\?|\[!?\]?[^]/]*\]", re.DOTALL)
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_glob(text: str) -> bool:
    """Tells whether a text has a wildcard: ``*``, ``?`` or ``[``."""
    return _WILD.search(text) is not None


def escaped(text: str) -> str:
    """Returns the glob that a text alone matches."""
    return _WILD.sub(r"[\g<0>]", text)


def literal_start(pattern: str) -> str:
    """Returns the text with which everything begins that a glob matches, up to its first wildcard."""
    return _ESCAPED.sub(r"\1", _LITERAL.match(pattern)[0])  # type: ignore[index]  # it matches nothing at least


def only_match(pattern: str) -> str | None:
    """Returns the one text that a glob without a wildcard matches; None for a glob with one."""
    return literal_start(pattern) if _LITERAL.fullmatch(pattern) else None


def regex_of(pattern: str) -> re.Pattern[str]:
    """Returns the regular expression of a glob, for ``fullmatch``.

    ``*`` and ``?`` stay inside one folder, ``**`` does not, and ``**/`` also stands for no folder at all. ``[ab]`` is
    one of these characters and ``[!ab]`` any other; a bracket that is never closed stands for itself.
    """
    found, end = [], 0
    for part in _PARTS.finditer(pattern):
        found += [re.escape(pattern[end : part.start()]), _MEANING.get(part[0]) or _class_of(part[0])]
        end = part.end()
    return re.compile("".join([*found, re.escape(pattern[end:])]), re.DOTALL)


def _class_of(brackets: str) -> str:
    inverted = brackets.startswith("[!")
    inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", brackets[2 if inverted else 1 : -1])
    if re.search(r"(.)-(.)", inside) and any(low > high for low, high in re.findall(r"(.)-(.)", inside)):
        return re.escape(brackets)
    return f"[{'^/' if inverted else ''}{inside}]"


def has_hidden(path: str) -> bool:
    """Tells whether a file or a folder of a path is hidden: its name begins with a dot."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def without_secrets(text: str) -> str:
    """Returns a text whose web addresses have no user, password or query: a signature gives a right to read."""
    return _SECRETS.sub(lambda found: found[1] + found[2] + "?..." * ("?" in found[0]), text)


def without_query(address: str) -> str:
    """Returns what names the file of an address: a web address without its query, others as they are."""
    return address.partition("?")[0] if address.startswith(("https://", "http://")) else address


def without_scheme(address: str) -> str:
    """Returns the path that a ``file:`` address names, with ``%20`` and the like decoded; others as they are."""
    scheme = _FILE.match(address)
    return unquote(address[scheme.end() :]) if scheme else address
