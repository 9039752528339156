"""The words of ``--captions``: which caption of a list is scored, and what the output carries. Imports nothing heavy.

Two jobs share the flag, since they speak of the same thing: ``score`` reads a word of ``READ``, ``reshard`` one of
``WRITTEN``, and ``curate`` takes one of each, separated by a comma.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_pipelines.config.base import Form, flag

WRITTEN: Mapping[str, str] = {
    "scored": "the .txt of a sample is the caption that was scored; another .txt stays as .original.txt",
    "keep": "members stay as they are",
}
"""Word -> what the output carries; the first is the default."""


def _words(*kinds: Mapping[str, str]) -> Form:
    """Returns the form of at most one word of each kind, in any order."""
    each = ["|".join(kind) for kind in kinds]
    pairs = [f"({a})(,({b}))?" for a in each for b in each if len(each) == 1 or a != b]
    shown = " and ".join(f"one of {', '.join(kind)}" for kind in kinds)
    return Form(
        "|".join(pairs) if len(each) > 1 else f"({each[0]})", shown + ", separated by a comma" * (len(each) > 1)
    )


def flag_of(*kinds: Mapping[str, str]) -> Any:
    """Returns the field of a class of settings: ``--captions`` with words of these kinds."""
    values = "; ".join(f"{word}: {meaning}" for kind in kinds for word, meaning in kind.items())
    default = ",".join(next(iter(kind)) for kind in kinds)
    return flag(default, f"which caption the job works with; {values}", form=_words(*kinds))


def one_of(kind: Mapping[str, str], given: str) -> str:
    """Returns the word of a kind among those of a flag, or the default of the kind."""
    return next((word for word in given.split(",") if word in kind), next(iter(kind)))
