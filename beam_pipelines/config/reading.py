"""Flags of the commands that read an output and change nothing in it. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
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
