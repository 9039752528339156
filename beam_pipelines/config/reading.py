"""Flags of the commands that read an output and change nothing in it. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Flags, flag
from beam_pipelines.config.selection import SelectionConfig
from transforms.lib import uid_rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainConfig(SelectionConfig):
    """Flags of ``explain``."""

    uid: tuple[str, ...] = flag(
        (), "uid of a sample, as in columns/index or as in its json; several (required)", positional=True
    )

    def problems(self) -> list[str]:
        problems = super().problems()
        if not self.uid:
            problems.append("no uid is given; name the samples, for example `winnow explain 139e4a9b... --output OUT`")
        return problems

    def wanted(self) -> dict[str, str]:
        """Returns uid as columns have it -> as it was given, each once."""
        return {uid_rule.of_text(uid): uid for uid in reversed(self.uid)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig(SelectionConfig):
    """Flags of ``verify``."""

    compare_input: bool = flag(True, "also compare every written sample with the bytes of its input shard")
    compare_dropped: bool = flag(
        True, "also compare the samples that were dropped with their input, which reads the pool whole"
    )
    accept_holes: bool = flag(
        False, "input shards with zeros where members should be are no problem: their loss is known and accepted"
    )
    report: str = flag(
        "", "address of the report; default: verify.json in --output, or in a temporary folder if that is read-only"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffConfig(Flags):
    """Flags of ``diff``."""

    sides: tuple[str, ...] = flag(
        (), "two names or IDs of selections of --output, two ids of its crawls, or two output folders (required)",
        positional=True,
    )  # fmt: skip
    output: str = flag("", "output folder of both selections, or of both crawls; leave it out for two output folders")
    html: str = flag("", "page to write as well, .html, with pictures of samples that changed sides")

    def problems(self) -> list[str]:
        problems = super().problems()
        if len(self.sides) != 2:
            found = f"{len(self.sides)} are given" if self.sides else "none is given"
            problems.append(f"name two to compare, {found}; for example `winnow diff current strict --output OUT`")
        if self.html and not self.html.endswith(".html"):
            problems.append(f"--html {self.html} must end in .html; name the page to write")
        return problems
