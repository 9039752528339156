"""What is known of a command without running it: the kinds of records that ``jobs`` lists.

Imports no Beam, no torch and no numpy, so that ``--help`` is instant.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beam_pipelines.config.base import Flags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """One word that ``winnow`` understands.

    Attributes:
      name: the word, in lower case with hyphens.
      summary: what it does, as a phrase without a full stop.
    """

    name: str
    summary: str

    @property
    def module(self) -> str:
        """Dotted name of the module whose ``main(argv)`` runs it."""
        return f"beam_pipelines.commands.{self.name.replace('-', '_')}"

    @property
    def sentence(self) -> str:
        """The summary as a sentence."""
        return f"{self.summary[0].upper()}{self.summary[1:]}."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing(Command):
    """A command without flags that prints what a flag of the jobs takes; ``main`` is given its name."""

    @property
    def module(self) -> str:
        """Dotted name of the module that all listings share."""
        return "beam_pipelines.commands.listing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tool(Command):
    """A command with flags of its own that is no job: no run records them.

    Attributes:
      flags: where the dataclass of its flags is: module of ``beam_pipelines``, colon, class.
      example: one command line that works.
      usage: what follows the name on the first line of its help.
      remark: what its help says below the flags; empty for nothing.
    """

    flags: str
    example: str
    usage: str = "[FLAGS]"
    remark: str = ""

    @property
    def settings(self) -> type[Flags]:
        """The dataclass whose fields are the flags."""
        return _class_at(self.flags)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job(Command):
    """All that is known of a job without running it.

    Attributes:
      flags: where the dataclass of its flags is: module of ``config``, colon, class. It is imported when needed, so
        that the start of one job does not wait for the flags of all.
      example: one command line that works.
      counters: namespaces of the Beam counters that the workers of the job increment.
      pipeline: whether a Beam runner runs the job; without, it runs in the process that starts it.
      template: whether the job has a Dataflow template; only a job with a pipeline can have one.
    """

    flags: str
    example: str
    counters: tuple[str, ...] = ()
    pipeline: bool = True
    template: bool = True

    @property
    def module(self) -> str:
        """Dotted name of the module whose ``main(argv)`` runs it."""
        return super().module.replace(".commands.", ".") if self.pipeline else super().module

    @property
    def settings(self) -> type[Flags]:
        """The dataclass whose fields are the flags."""
        return _class_at(f"config.{self.flags}")


def _class_at(place: str) -> type[Flags]:
    module, _, name = place.partition(":")
    kind: type[Flags] = getattr(importlib.import_module(f"beam_pipelines.{module}"), name)
    return kind
