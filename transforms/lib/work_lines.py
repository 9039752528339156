"""The lines that a worker logs about its work on a shard: how they are written, and how progress is read from them.

A worker and the command line share nothing but these lines, so progress needs no runner's help. They hold names of
shards and counts, and nothing of the samples.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BEGUN, AT, DONE, SKIPPED, FAILED = "begun", "at", "done", "was done before", "failed with"
"""The states of work on a shard, as the lines have them."""

_FORM = re.compile(
    rf"(?P<work>[a-z]+) (?P<shard>\S(?:.*\S)?): (?P<state>{BEGUN}|{AT}|{DONE}|{SKIPPED}|{FAILED})"
    r"(?: (?P<at>\d+) samples| (?P<error>\w+))?"
    r"(?:, (?P<samples>\d+) samples)?(?:, (?P<rejected>\d+) rejected)?(?:, (?P<seconds>[\d.]+) s)?"
)
_PLANNED = re.compile(r"(?P<work>[a-z]+): (?P<shards>\d+) shards planned")


class WorkLine(NamedTuple):
    """One line about work on one shard.

    Attributes:
      work: a verb, such as ``score``.
      shard: its name.
      state: ``BEGUN``, ``AT`` (some samples are done), ``DONE``, ``SKIPPED`` or ``FAILED``.
      samples: of the shard, or done so far; None where nobody has counted them.
      rejected: those of them that were rejected; None where this work rejects none.
      seconds: since the begin; None at the begin.
      error: class of the error of failed work.
    """

    work: str
    shard: str
    state: str
    samples: int | None = None
    rejected: int | None = None
    seconds: float | None = None
    error: str = ""

    def __str__(self) -> str:
        """Returns the line as it is logged."""
        if self.state == AT:
            return f"{self.work} {self.shard}: {AT} {self.samples} samples"
        parts = [f"{self.work} {self.shard}: {self.state}" + (f" {self.error}" if self.error else "")]
        if self.state == DONE:
            counts = {"samples": self.samples, "rejected": self.rejected}
            parts += [f"{count} {name}" for name, count in counts.items() if count is not None]
        if self.seconds is not None:
            parts.append(f"{self.seconds:.1f} s")
        return ", ".join(parts)


def read(text: str) -> WorkLine | None:
    """Reads a line that ``str`` of a ``WorkLine`` gave; None when the text is another."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    samples = match["at"] or match["samples"]
    return WorkLine(
        match["work"],
        match["shard"],
        match["state"],
        None if samples is None else int(samples),
        None if match["rejected"] is None else int(match["rejected"]),
        None if match["seconds"] is None else float(match["seconds"]),
        match["error"] or "",
    )


def planned(work: str, shards: int) -> str:
    """Returns the line that says how many shards a work will have, where the input does not say it."""
    return f"{work}: {shards} shards planned"


def read_planned(text: str) -> tuple[str, int] | None:
    """Reads a line that ``planned`` gave, as (work, shards); None when the text is another."""
    match = _PLANNED.fullmatch(text)
    return (match["work"], int(match["shards"])) if match else None
