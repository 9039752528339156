"""What every plan shares: the list of problems, the choice of a device, and facts for the manifest."""

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
    """Every problem with a request, one line each, so that the user sees all of them at once.

    Attributes:
      elsewhere: the workers are other machines than this one; what this one lacks is no problem.
      notes: lines for the user, printed when the work starts.
    """

    def __init__(self, lines: Iterable[str] = (), *, elsewhere: bool = False) -> None:
        super().__init__(lines)
        self.elsewhere = elsewhere
        self.notes: list[str] = []

    def collect(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Calls ``work`` and returns its result; None after adding the lines of the ``ConfigError`` that it raised."""
        try:
            return work(*args, **kwargs)
        except ConfigError as error:
            self.extend(line for line in error.problems if line not in self)
            return None


def device_for(flag: str, problems: Problems) -> str:
    """Returns the device to work on, ``cpu`` or ``cuda``, and notes the choice of ``auto``.

    Args:
      flag: the value of ``--device``: ``auto``, ``cpu`` or ``cuda``.
      problems: gets a line when ``cuda`` is given and this machine, which works, has no GPU.
    """
    if flag != "auto":
        return flag if problems.elsewhere else problems.collect(devices.device_of, flag) or "cpu"
    device = "cpu" if problems.elsewhere else devices.device_of(flag)
    why = "; the workers are not this machine: name it for a GPU" if problems.elsewhere else ""
    problems.notes.append(f"--device auto: {device}{why}")
    return device


def version() -> str:
    """Returns the version of Winnow that is installed."""
    return metadata.version("winnow-beam")


def narrow(config: Config, kind: type[Config]) -> Any:
    """Returns the config of type ``kind`` with the values of ``config``, which has all of its fields."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)}).own()
