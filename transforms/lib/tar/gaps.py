"""Gaps in a tar, and whether the samples beside one are whole.

The rule: damage costs what it damages. A sample that is cut in two is lost, and those before and behind it are kept.
"""

from __future__ import annotations

import dataclasses

from transforms.lib.errors import Reason
from transforms.lib.tar.raw_sample import RawSample

_MOST_SHAPES = 256


@dataclasses.dataclass
class Gap:
    """A stretch of a tar that is no member.

    Attributes:
      begin: its first byte.
      end: the first byte behind it.
      reason: ``TAR_CORRUPT`` or ``TAR_TRUNCATED``.
      detail: what was found.
      key: of the sample to which the damaged member belongs; empty when that cannot be told.
      alone: nothing but that one member lies in it.
      trusted: the member before it ends where it should.
      extension: it begins with a pax or GNU header, so the name of the member behind it is not known.
      named: the header of that member is sound, so ``key`` is certain.
      merged: it is part of the row of the sample before it.
    """

    begin: int
    end: int
    reason: Reason
    detail: str
    key: str = ""
    alone: bool = False
    trusted: bool = False
    extension: bool = False
    named: bool = False
    merged: bool = False

    def join(self, other: Gap) -> None:
        """Takes in the next gap, with no sample between the two."""
        self.end, self.key, self.alone, self.named = other.end, "", False, False


class Shapes:
    """The extensions that the whole samples of a shard have: by them a sample beside damage is known to be whole."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], frozenset[str]] = {}
        self._extensions: set[str] = set()

    def add(self, shape: tuple[str, ...]) -> None:
        """Notes the extensions of a whole sample, in the order of its members."""
        if shape not in self._seen and len(self._seen) < _MOST_SHAPES:
            self._seen[shape] = frozenset(shape)
            self._extensions.update(shape)

    def has(self, extension: str) -> bool:
        """Tells whether a whole sample has a member of this extension."""
        return extension in self._extensions

    def fits(self, shape: tuple[str, ...]) -> bool | None:
        """Tells whether a sample with these extensions lacks nothing that others have; None where no other is known."""
        if not self._seen:
            return None
        found = frozenset(shape)
        return shape in self._seen and not any(found < other for other in self._seen.values())


def whole_before(gap: Gap, key: str, shape: tuple[str, ...], shapes: Shapes, next_key: str) -> bool:
    """Tells whether a sample that ends where a gap begins has lost nothing.

    Args:
      gap: behind the sample.
      key: of the sample.
      shape: its extensions, in order.
      shapes: of samples that are whole.
      next_key: of the sample behind the gap; empty for none.
    """
    if not gap.trusted or gap.key == key:
        return False
    if gap.named or (gap.key and gap.key == next_key):
        return True
    fits = shapes.fits(shape)
    return bool(gap.key) if fits is None else fits


def whole_behind(gap: Gap, key: str, shape: tuple[str, ...], shapes: Shapes, last_key: str) -> bool:
    """Tells whether a sample that begins where a gap ends has lost nothing; arguments as ``whole_before``."""
    if gap.key == key:
        return False
    if gap.alone and gap.key and gap.key == last_key:
        return True
    fits = shapes.fits(shape)
    return gap.alone and bool(gap.key) if fits is None else fits


def row_of(gap: Gap) -> RawSample:
    """Returns the rejected sample that a gap is in the account of its tar."""
    return RawSample(gap.key if gap.named else "", gap.begin, gap.end - gap.begin, {}, gap.reason, gap.detail)


def cut(gap: Gap) -> str:
    """Returns the detail of a sample that a gap cuts."""
    return f"cut at byte {gap.begin}: {gap.detail}"
