"""Runs every job from argv to exit code: make the plan, print every problem, and start only when there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from beam_pipelines.config.base import Flags
from beam_pipelines.config.jobs import COUNTERS, JOBS
from beam_pipelines.running import beam_options, failures, interrupts, options, runners, track
from beam_pipelines.running.console import Console
from transforms.lib.addresses import without_secrets
from transforms.lib.errors import ConfigError, CurationError
from transforms.outputs import leases

if TYPE_CHECKING:
    import apache_beam as beam

    from beam_pipelines.planning.making import Call
    from beam_pipelines.planning.plan_facts import Problems


@dataclasses.dataclass(frozen=True)
class Work:
    """What a job is going to do, once nothing is wrong.

    Attributes:
      summary: what ``--dry_run`` prints beside the flags, such as how many shards there are.
      prepare: writes the driver's own files, directly before the pipeline starts.
      build: adds the whole job to a pipeline; runs nothing. None for a job that needs no pipeline.
      finish: returns what to print at the end: text for people, and values for the JSON line. A job without a pipeline
        does all of its work here.
      remark: job's counters -> another line for people; "" for none.
      spread: a run on this machine works on several shards at once; not where a model uses every core already.
      holds: names of the runs of which the output folder can have one at a time; None for that of the job's name.
      first: jobs to run before; the plan is made again then, and all else is for a work without.
      details: what ``--dry_run`` alone finds out, since it looks at every shard: how many are to do.
    """

    summary: dict[str, Any]
    prepare: Callable[[], None] = lambda: None
    build: Callable[[beam.Pipeline], None] | None = None
    finish: Callable[[], tuple[str, dict[str, Any]]] = lambda: ("", {})
    remark: Callable[[Mapping[str, int]], str] = lambda counters: ""
    spread: bool = False
    holds: tuple[str, ...] | None = None
    first: tuple[Call, ...] = ()
    details: Callable[[], dict[str, Any]] = dict


Plan = Callable[[Any, "Problems"], "Work | None"]


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
      code: the exit code; see ``main``.
      problems: lines about what is wrong with the request, or why the job failed.
      values: what the JSON line says.
    """

    code: int
    problems: tuple[str, ...]
    values: dict[str, Any]


def main(job: str, plan: Plan, argv: Sequence[str] | None = None, *, alone: bool = False) -> int:
    """Runs a job.

    Args:
      job: its name in ``config.jobs.JOBS``.
      plan: returns the work; or notes problems and returns None.
      argv: the flags; those of the process when None.
      alone: the job runs no pipeline here, so that flags for one are a problem even where there is no plan.

    Returns:
      0 done, 1 the job failed, 2 nothing was started because something is wrong with the request, 3 all is written, but
      a crawl did not pass its gate.
    """
    parsed = options.parse(job, sys.argv[1:] if argv is None else argv)
    with interrupts.handled(job) as undo:
        outcome = run(job, plan, parsed, undo, alone=alone)
    for line in outcome.problems:
        print(f"winnow {job}: {line}", file=sys.stderr)
    if outcome.values:
        print(json.dumps(outcome.values, indent=1 if parsed.dry_run else None, sort_keys=not parsed.dry_run))
    return outcome.code


def run(job: str, plan: Plan, parsed: options.Parsed, undo: interrupts.Undo, *, alone: bool = False) -> Outcome:
    """Runs a job without a word about how it ended; that is the caller's to say.

    Args:
      job, plan, alone: as ``main``.
      parsed: the flags.
      undo: gets what is to be undone should the process be ended from outside.
    """
    with parsed.console.logging():
        try:
            outcome = _run_job(job, plan, parsed, alone, undo)
            if outcome.code == 0 and not parsed.dry_run and not outcome.values.get("launched"):
                track.record(parsed.track, job, {"output": vars(parsed.config).get("output", ""), **outcome.values})
            return outcome
        except Exception as error:  # runners wrap a worker's error in one of their own; a bug keeps its traceback
            found = failures.line_of(error)
            if found is None:
                raise
            return _failed(*found)


def _run_job(job: str, plan: Plan, parsed: options.Parsed, alone: bool, undo: interrupts.Undo) -> Outcome:
    """Plans a job, and runs it where nothing is wrong."""
    from beam_pipelines.planning.plan_facts import Problems

    problems = Problems(parsed.problems, elsewhere=beam_options.runs_elsewhere(parsed.beam_args))
    beam_options.tell_stores(parsed.beam_args)
    work = problems.collect(plan, parsed.config, problems)
    if work.build is None if work else alone and not problems.elsewhere:
        problems.extend(_pipeline_flags(job, parsed.beam_args))
    if problems or work is None:
        return _refused(problems)
    if work.first and not parsed.dry_run:
        outcome = _run_first(job, work.first, parsed, undo)
        return outcome if outcome.code else _run_job(job, plan, parsed, alone, undo)
    if parsed.dry_run:
        return Outcome(0, (), {"job": job, "configuration": _shown(parsed.config), **work.summary, **work.details()})
    with parsed.console.progress(job, work.summary.get("shards"), follows=not problems.elsewhere):
        if work.build is None:
            return _run_alone(job, work, parsed.console)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_leases(job, work, parsed, undo))
            except ConfigError as error:  # another run is at work there
                return _refused(error.problems)
            return _run_pipeline(job, work, work.build, parsed, problems.notes)


def _run_first(job: str, calls: Sequence[Call], parsed: options.Parsed, undo: interrupts.Undo) -> Outcome:
    """Runs jobs that another one needs; returns how the last one of them ended, or the first that failed."""
    outcome = Outcome(0, (), {})
    for call in calls:
        parsed.console.say(f"winnow {job}: first, {shlex.join(['winnow', call.job, *call.argv()])}")
        request = options.parse(call.job, [*call.argv(), *parsed.beam_args])
        outcome = run(call.job, plan_of(call.job), request._replace(console=parsed.console), undo)
        if outcome.code:
            break
    return outcome


def plan_of(job: str) -> Plan:
    """Returns the ``plan`` of a job by its name."""
    plan: Plan = importlib.import_module(JOBS[job].module).plan
    return plan


def _leases(
    job: str, work: Work, parsed: options.Parsed, undo: interrupts.Undo
) -> contextlib.AbstractContextManager[None]:
    """Returns what holds the leases of the runs of a job on its output folder."""
    output = vars(parsed.config)["output"]

    def lost() -> None:
        line = f"winnow {job}: another run took --output {output} over, since this one was silent; stopped"
        interrupts.end(line, CurationError.exit_code, [])

    return leases.held(output, (job,) if work.holds is None else work.holds, lost, undo)


def _pipeline_flags(job: str, beam_args: Sequence[str]) -> list[str]:
    """Returns the problem with flags for a pipeline that were given to a job without one.

    Nothing where some flag is unknown: ``options.parse`` has named it, and its value looks like a flag of Beam.
    """
    flags = beam_options.not_for_stores(beam_args)
    if not flags or options.unknown_flags(flags):
        return []
    return [f"{' '.join(flags)} is for a pipeline, and {job} runs none; leave it out"]


def _run_alone(job: str, work: Work, console: Console) -> Outcome:
    """Runs a job that needs no pipeline: all of it is in ``finish``."""
    try:
        work.prepare()
        text, values = work.finish()
    except ConfigError as error:
        return _refused(error.problems)
    console.say(text)
    return Outcome(0, (), {"job": job, **values})


def _run_pipeline(
    job: str, work: Work, build: Callable[[beam.Pipeline], None], parsed: options.Parsed, notes: Sequence[str]
) -> Outcome:
    """Runs a job's pipeline, and says what it wrote and counted."""
    try:
        runners.fetch_job_server(parsed.beam_args)
        work.prepare()
    except ConfigError as error:  # a store refuses only when it is written to
        return _refused(error.problems)
    for line in notes:
        parsed.console.say(line)
    output = vars(parsed.config)["output"]
    counters = _run(build, parsed.beam_args, work.spread)
    if counters is None:
        return Outcome(0, (), {"job": job, "output": output, "launched": True})
    text, values = work.finish()
    for line in filter(None, (text, work.remark(counters))):
        parsed.console.say(line)
    return Outcome(0, (), {"job": job, "output": output, **values, "counters": counters})


def _refused(problems: Sequence[str]) -> Outcome:
    return Outcome(ConfigError.exit_code, tuple(problems), {})


def _failed(message: str, code: int = CurationError.exit_code) -> Outcome:
    return Outcome(code, (without_secrets(message),), {})


def _shown(config: Flags) -> dict[str, Any]:
    shown = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(config).items()}
    return {name: [*map(without_secrets, v)] if name == "input" else v for name, v in shown.items()}


def _run(build: Callable[[beam.Pipeline], None], beam_args: Sequence[str], spread: bool) -> dict[str, int] | None:
    """Runs the pipeline to its end and returns the counters, ``stage.name`` -> count.

    Returns:
      None where the launcher of a Flex Template only writes the job's description (``--template_location``).
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import GoogleCloudOptions

    pipeline = beam.Pipeline(options=beam_options.pipeline_options(beam_args, spread))
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # errors reach the user once, through the exception
    build(pipeline)
    result = pipeline.run()
    if pipeline.options.view_as(GoogleCloudOptions).template_location:
        return None
    result.wait_until_finish()
    own = [metric for metric in result.metrics().query()["counters"] if metric.key.metric.namespace in COUNTERS]
    counters: dict[str, int] = {}
    for metric in own:
        name = f"{metric.key.metric.namespace}.{metric.key.metric.name}"
        counters[name] = counters.get(name, 0) + (metric.result or 0)  # some runners count nothing
    return dict(sorted(counters.items()))
