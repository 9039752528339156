"""Keyword arguments as flags: how functions and PTransforms get the settings of a job, with all of its checks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from beam_pipelines.planning.plan_facts import Problems

_SWITCHES = ("dry_run", "quiet", "verbose")  # flags that take no value


def argv_of(flags: dict[str, Any]) -> list[str]:
    """Returns keyword arguments as the flags that mean the same; None is a flag that is not given."""
    argv = []
    for name, value in flags.items():
        if value is None or (name in _SWITCHES and value is False):
            continue
        if name in _SWITCHES and value is True:
            argv.append(f"--{name}")
            continue
        many = [value] if isinstance(value, str | os.PathLike) or not isinstance(value, Sequence) else value
        argv += [f"--{name}={os.fspath(v) if isinstance(v, os.PathLike) else v}" for v in many]
    return argv


def config_of(job: str, who: str, flags: dict[str, Any], refused: Sequence[str]) -> tuple[Any, Problems]:
    """Returns the settings of a job for a PTransform, and what is wrong with its arguments.

    Args:
      job: whose flags they are; it takes its shards from the pipeline, so its settings have no ``input``.
      who: name of the PTransform, for the messages.
      flags: keyword argument -> value.
      refused: flags that have no meaning in one's own pipeline.
    """
    from beam_pipelines.running import options

    lines = [f"{who} takes no {name}, which is for `winnow {job}`; leave it out" for name in refused if name in flags]
    given = {name: value for name, value in flags.items() if name not in refused}
    argv = argv_of(given)
    config, _, rest, found = options.parse_config(job, [*argv, *(["--input=shards"] if job == "score" else [])])
    lines += [options.unknown_flag(text, [f"--{name}" for name in vars(config)]) for text in rest]
    settings: Any = config
    return dataclasses.replace(settings, input=()), Problems([*lines, *found])
