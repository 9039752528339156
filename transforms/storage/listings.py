"""Many addresses of one bucket, found in one listing."""

from __future__ import annotations

from collections.abc import Sequence

from transforms.lib import addresses
from transforms.storage.client import FileInfo
from transforms.storage.clients import client_of
from transforms.storage.errors import one_line

_FROM = 16  # addresses of one bucket from which on they are looked for in a listing
_OTHERS = 100  # files in it for each that is looked for, before it is given up; a request lists a thousand


def together(patterns: Sequence[str]) -> dict[str, list[FileInfo]]:
    """Returns what those patterns match that are addresses, by one listing per bucket of what they begin with.

    Without it each address of a list, or of braces, would be a request. A bucket in which much else begins so is left
    out, and so are patterns with wildcards, and a bucket of which few addresses are named.

    Raises:
      StoreError: a store cannot be listed.
    """
    named: dict[str, dict[str, str]] = {}
    for pattern in patterns:
        address = addresses.only_match(pattern)
        if address is not None and client_of(pattern).lists:
            named.setdefault("/".join(address.split("/", 3)[:3]), {})[address] = pattern
    found: dict[str, list[FileInfo]] = {}
    for bucket, those in named.items():
        start = _shared(min(those), max(those))
        if len(those) >= _FROM and start.startswith(f"{bucket}/"):
            found |= _looked_up(start, those)
    return found


def _looked_up(start: str, those: dict[str, str]) -> dict[str, list[FileInfo]]:
    """Returns pattern -> what it matches, of ``those``, address -> pattern; empty where the listing is given up."""
    here: dict[str, list[FileInfo]] = {pattern: [] for pattern in those.values()}
    with one_line(start, writes=True):
        for seen, info in enumerate(client_of(start).match(f"{addresses.escaped(start)}**")):
            if seen > _OTHERS * len(those):
                return {}
            if info.uri in those:
                here[those[info.uri]].append(info)
    return here


def _shared(one: str, other: str) -> str:
    """Returns what two texts begin with."""
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]
