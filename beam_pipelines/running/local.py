"""Runs a training job from argv to exit code, on this machine."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from beam_pipelines.config.train import TrainFlytConfig, TrainMixConfig
from beam_pipelines.planning import plan_facts
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.planning.training import Found
from beam_pipelines.running import options
from transforms.lib.errors import ConfigError


def main(
    job: str,
    argv: Sequence[str] | None,
    plan: Callable[[Any, Problems], Found | None],
    work: Callable[[Any, Found], dict[str, Any]],
) -> int:
    """Runs a training job from argv to exit code.

    Args:
      job: its name.
      argv: the flags; those of the process when None.
      plan: finds out what there is to do, or notes problems and returns None.
      work: does it, and returns what to print.

    Returns:
      0 done, 2 the request is wrong.
    """
    parsed = options.parse(job, sys.argv[1:] if argv is None else argv)
    problems = Problems([*parsed.problems, *(f"{text} is unknown" for text in parsed.beam_args)])
    config = parsed.config
    assert isinstance(config, TrainMixConfig | TrainFlytConfig)
    found = problems.collect(plan, config, problems)
    if not problems and found is not None and not parsed.dry_run:
        result = problems.collect(work, config, found)
        if result is not None:
            print(json.dumps({"job": job, "output": config.output, **result}, sort_keys=True))
    for line in problems:
        print(f"winnow {job}: {line}", file=sys.stderr)
    if parsed.dry_run and found is not None and not problems:
        shown = {"configuration": config.recorded(), "shards": len(found.refs), "model": dataclasses.asdict(found.spec)}
        print(json.dumps({**shown, "version": plan_facts.version()}, indent=1))
    return ConfigError.exit_code if problems else 0
