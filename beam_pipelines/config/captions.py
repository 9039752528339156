"""The words of ``--captions``: which caption of a list is scored, and what the output carries. Imports nothing heavy.

Two jobs share the flag, since they speak of the same thing: ``score`` reads a word of ``READ``, ``reshard`` one of
``WRITTEN``, and ``curate`` takes one of each, separated by a comma.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_pipelines.config.base import Form, flag

READ: Mapping[str, str] = {
    "first": "the first one",
    "longest": "the one with the most characters",
    "all": "all of them, one per line",
    "best": "the one with the highest score of the first network",
}
"""Word -> which caption of a list is scored. Without any it is the first one, and the lines of a .txt are no list."""

WRITTEN: Mapping[str, str] = {
    "scored": "the .txt of a sample is the caption that was scored; another .txt stays as .original.txt",
    "keep": "members stay as they are",
}
"""Word -> what the output carries; the first is the default."""


def _words(*kinds: Mapping[str, str]) -> Form:
    """Returns the form of at most one word of each kind, in any order."""
    each = [f"({'|'.join(kind)})" for kind in kinds]
    pairs = [f"{first},{second}" for first in each for second in each if first != second]
    shown = " and ".join(f"one of {', '.join(kind)}" for kind in kinds)
    return Form("|".join([*each, *pairs]), shown + ", separated by a comma" * (len(each) > 1))


def read_flag() -> Any:
    """Returns the field of ``score``: which caption of a list is scored."""
    words = f"which caption of a list is scored; {_meanings(READ)}; the lines of a .txt are a list when one is given"
    return flag("", f"{words}; default: the first one", form=_words(READ))


def written_flag() -> Any:
    """Returns the field of ``reshard``: which caption the output carries."""
    return flag("scored", f"which caption the output carries; {_meanings(WRITTEN)}", form=_words(WRITTEN))


def both_flags() -> Any:
    """Returns the field of ``curate``, which scores and writes."""
    words = f"which caption of a list is scored; {_meanings(READ)}; and which one the output carries"
    hint = "two words are separated by a comma; the lines of a .txt are a list when a word of the first kind is given"
    return flag("scored", f"{words}; {_meanings(WRITTEN)}; {hint}", form=_words(READ, WRITTEN))


def _meanings(kind: Mapping[str, str]) -> str:
    return "; ".join(f"{word}: {meaning}" for word, meaning in kind.items())


def read_word(given: str) -> str:
    """Returns the word of ``READ`` among those of a flag; empty where there is none."""
    return next((word for word in given.split(",") if word in READ), "")


def written_word(given: str) -> str:
    """Returns the word of ``WRITTEN`` among those of a flag, ``scored`` where there is none."""
    return next((word for word in given.split(",") if word in WRITTEN), "scored")
