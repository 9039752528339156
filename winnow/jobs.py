"""Jobs as functions, whose keyword arguments are the flags of the command line."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from winnow.flags import CurateFlags, ReshardFlags, ScoreFlags, SelectFlags


@dataclasses.dataclass(frozen=True)
class Result:
    """What a job wrote and counted.

    Attributes:
      job: its name.
      output: the folder, for ``winnow.open``; of a crawl, that of the crawl.
      values: what the command prints as its line of JSON: counts (``samples``, ``kept``, ``copies``), places
        (``report``, ``shards``), the ID ``selection``, and ``counters``; of a dry run, the plan.
    """

    job: str
    output: str
    values: dict[str, Any]


def curate(*, beam_args: Sequence[str] = (), **flags: Unpack[CurateFlags]) -> Result:
    """Scores a pool, selects by a recipe and writes better shards.

    Args:
      beam_args: flags of Beam, such as ``["--runner=DataflowRunner"]``.
      flags: those of ``winnow curate``, with the same names, defaults and checks; docs/cli.md has them.

    Returns:
      counts and places.

    Raises:
      ConfigError: every problem with the request; nothing was started.
      CurationError: the job failed.
    """
    return _run("curate", beam_args, dict(flags))


def score(*, beam_args: Sequence[str] = (), **flags: Unpack[ScoreFlags]) -> Result:
    """Adds a model's scores and embeddings to the column store; the rest as ``curate``, with the flags of its job."""
    return _run("score", beam_args, dict(flags))


def select(*, beam_args: Sequence[str] = (), **flags: Unpack[SelectFlags]) -> Result:
    """Turns columns into decisions by a recipe; the rest as ``curate``, with the flags of its job."""
    return _run("select", beam_args, dict(flags))


def reshard(*, beam_args: Sequence[str] = (), **flags: Unpack[ReshardFlags]) -> Result:
    """Turns decisions, or a subset file, into shards; the rest as ``curate``, with the flags of its job."""
    return _run("reshard", beam_args, dict(flags))


def _run(job: str, beam_args: Sequence[str], flags: dict[str, Any]) -> Result:
    from beam_pipelines.running import driver, options
    from transforms.lib.errors import ConfigError, CurationError, GateError
    from winnow.calls import argv_of

    parsed = options.parse(job, [*argv_of(flags), *beam_args])
    plan = importlib.import_module(f"beam_pipelines.{job}").plan
    outcome = driver.run(job, plan, parsed, [])
    if outcome.code == ConfigError.exit_code:
        raise ConfigError(outcome.problems)
    if outcome.code:
        kind = GateError if outcome.code == GateError.exit_code else CurationError
        raise kind("\n".join(outcome.problems))
    return Result(job, vars(parsed.config)["output"], outcome.values)
