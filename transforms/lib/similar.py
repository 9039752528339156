"""What a user may have meant by a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Returns the known names that are spelled much like ``name``, the nearest first; empty when none is.

    Args:
      name: as it was given.
      known: all names there are.
      most: how many to return at most.
    """
    import difflib  # only where something is wrong: it costs the command line some of its start

    return difflib.get_close_matches(name, list(known), most)


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", most: int = 1) -> str:
    """Returns ``did you mean A?`` or ``did you mean A or B?``; ``otherwise`` when no known name is near."""
    return f"did you mean {' or '.join(near)}?" if (near := nearest(name, known, most)) else otherwise
