"""The types of the flags of the jobs that ``winnow`` has as functions, as ``winnow/flags.py`` holds them.

python -m tests.python_flags    # writes that file
"""

import types
import typing
from pathlib import Path

from beam_pipelines.config.base import flags_of
from beam_pipelines.config.jobs import JOBS

PATH = Path(__file__).parents[1] / "winnow/flags.py"
HEAD = '''"""Keyword arguments of the jobs; ``make templates`` writes this file from the flags of the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

Text = str | os.PathLike[str]
'''
START = {
    "preset": "Text",
    "layout": "Text",
    "dry_run": "bool",
    "quiet": "bool",
    "verbose": "bool",
    "log_file": "Text",
    "track": "Text",
}


def word(kind):
    """Returns the type of a keyword argument as Python has it."""
    if typing.get_origin(kind) is tuple:
        one = word(typing.get_args(kind)[0])
        return f"{one} | Sequence[{one}]"
    if isinstance(kind, types.UnionType):
        return " | ".join("None" if part is type(None) else word(part) for part in typing.get_args(kind))
    return "Text" if kind is str else kind.__name__


def text():
    """Returns the file."""
    parts = [HEAD]
    for job in ("curate", "score", "select", "reshard"):
        settings = JOBS[job].settings
        kinds = typing.get_type_hints(settings)
        lines = {name: word(kinds[name]) for name in flags_of(settings)} | START
        parts.append(f"\n\nclass {job.capitalize()}Flags(TypedDict, total=False):\n"
                     f'    """Flags of ``winnow {job}``; docs/cli.md says what each is."""\n\n')  # fmt: skip
        parts.append("".join(f"    {name}: {kind}\n" for name, kind in lines.items()))
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(text())
