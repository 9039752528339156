"""What every plan is made with: the problems found, and what a manifest records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any, TypeVar

from beam_pipelines.config.base import Config
from transforms.lib.devices import devices
from transforms.lib.errors import ConfigError

T = TypeVar("T")


class Problems(list[str]):
    """Every problem of a run, so that the user sees all of them at once.

    Attributes:
      elsewhere: the workers are other machines than this one; what this one lacks is no problem.
      notes: what the user is told, a line each, once the work starts.
    """

    def __init__(self, found: Iterable[str] = (), *, elsewhere: bool = False) -> None:
        super().__init__(found)
        self.elsewhere = elsewhere
        self.notes: list[str] = []

    def collect(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Returns what ``work`` returns, or None after noting why it could not."""
        try:
            return work(*args, **kwargs)
        except ConfigError as error:
            self.extend(line for line in error.problems if line not in self)
            return None


def device_for(asked: str, problems: Problems) -> str:
    """Returns ``cpu`` or ``cuda``, and notes what ``auto`` turned out to be.

    Args:
      asked: ``auto``, ``cpu`` or ``cuda``.
      problems: gets a line when a GPU was asked for by name and is not there.
    """
    if asked != "auto":
        return asked if problems.elsewhere else problems.collect(devices.device_of, asked) or "cpu"
    found = "cpu" if problems.elsewhere else devices.device_of(asked)
    why = "; the workers are not this machine: name it for a GPU" if problems.elsewhere else ""
    problems.notes.append(f"--device auto: {found}{why}")
    return found


def version() -> str:
    """Returns Winnow's version, as ``setup.py`` has it."""
    return metadata.version("winnow-beam")


def narrow(config: Config, kind: type[Config]) -> Any:
    """Returns the part of a config that another job's config has."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})
