"""What every plan is made with: the problems found, and what a manifest records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any, TypeVar

from beam_pipelines.config import Config
from transforms.lib.errors import ConfigError

T = TypeVar("T")


class Problems(list[str]):
    """Every problem of a run, so that the user sees all of them at once.

    Attributes:
      elsewhere: the workers are other machines than this one; what this one lacks is no problem.
    """

    def __init__(self, found: Iterable[str] = (), *, elsewhere: bool = False) -> None:
        super().__init__(found)
        self.elsewhere = elsewhere

    def collect(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Returns what ``work`` returns, or None after noting why it could not."""
        try:
            return work(*args, **kwargs)
        except ConfigError as error:
            self.extend(line for line in error.problems if line not in self)
            return None


def version() -> str:
    """Returns Winnow's version, as ``setup.py`` has it."""
    return metadata.version("winnow-beam")


def narrow(config: Config, kind: type[Config]) -> Any:
    """Returns the part of a config that another job's config has."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})
