"""Runs the jobs of a file: all of them are checked before any work, those that are done are left out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from beam_pipelines.config.jobs import JOBS
from beam_pipelines.planning import column_sets, making, plan_facts, select, workspace
from beam_pipelines.running import beam_options, driver, interrupts, options
from beam_pipelines.running.console import Console
from beam_pipelines.running.job_file import JobFile, Request
from beam_pipelines.running.jobs_done import JobsDone, digests
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import resolve
from transforms.storage import filesystem

_MAKE_POOL = ("score", "curate", "import-datacomp")
_READ_POOL = ("annotate", "cluster", "dedup", "select", "score-flyt", "import-scores")
_OF_MODEL = ("score", "image", "text")


class Listed(NamedTuple):
    """One job of a file, ready to run.

    Attributes:
      request: as the file has it.
      parsed: its flags.
      digest: of all that decides what it writes.
      done: whether it need not run.
    """

    request: Request
    parsed: options.Parsed
    digest: str
    done: bool

    def command(self) -> list[str]:
        """Returns the command that does the same."""
        return self.request.words()


class Ended(NamedTuple):
    """How a job of a file ended."""

    job: str
    seconds: float
    skipped: bool
    outcome: driver.Outcome


def complete(file: JobFile) -> list[Request]:
    """Returns the jobs of a file, with what it leaves out: the scoring of the shared input, and ``--make_columns``."""
    requests = [_with_columns(request) for request in file.requests]
    first = next((request for request in requests if request.job in (*_MAKE_POOL, *_READ_POOL)), None)
    if first is None or first.job in _MAKE_POOL or "input" not in file.shared:
        return requests
    output = str(file.shared.get("output", ""))
    if output and filesystem.exists(filesystem.join(output, "pool.parquet")):
        return requests
    at = requests.index(first)
    return [*requests[:at], file.request_of("score"), *requests[at:]]


def _with_columns(request: Request) -> Request:
    if request.job != "select" or any(word.startswith("--make_columns") for word in request.argv):
        return request
    return dataclasses.replace(request, argv=(*request.argv, "--make_columns=true"))


def check(file: JobFile) -> tuple[list[Listed], JobsDone]:
    """Checks every job of a file: flags, recipes and columns of all, and the whole plan of the first that is to do.

    Raises:
      ConfigError: every problem, with its line in the file.
    """
    requests = complete(file)
    parsed = [options.parse(request.job, request.argv) for request in requests]
    pairs = [*zip(requests, parsed, strict=True)]
    problems = [file.told(request, line) for request, one in pairs for line in one.problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    beam_options.tell_stores(next((one.beam_args for one in parsed if one.beam_args), []))
    root = next(filter(None, (getattr(one.config, "output", "") for one in parsed)), "")
    problems = [file.told(request, line) for request, line in _column_problems(requests, parsed)]
    done, listed, so_far = JobsDone(root), [], True
    names = digests([(request.job, one.config, request.argv) for request, one in pairs])
    for request, one, name in zip(requests, parsed, names, strict=True):
        so_far = so_far and done.holds(name, request.job, one.config)
        listed.append(Listed(request, one, name, so_far))
    todo = next((one for one in listed if not one.done), None)
    if todo and not problems:
        found = plan_facts.Problems(elsewhere=beam_options.runs_elsewhere(todo.parsed.beam_args))
        found.collect(driver.plan_of(todo.request.job), todo.parsed.config, found)
        problems += [file.told(todo.request, line) for line in found]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return listed, done


def _column_problems(requests: Sequence[Request], parsed: Sequence[options.Parsed]) -> Iterator[tuple[Request, str]]:
    """Yields the columns that a recipe reads, and that neither the pool, an earlier job nor a job on the way has."""
    sets: dict[str, list[str]] = {}
    imported = False
    for request, one in zip(requests, parsed, strict=True):
        config: Any = one.config
        if not sets:
            sets = _stored(getattr(config, "output", ""))
        imported = imported or request.job.startswith("import")
        if request.job == "select":
            problems = plan_facts.Problems()
            recipe = select.recipe_of(config, problems)
            names = making.lacking(recipe.inputs(), sets) if recipe and not imported else []
            if recipe and names and config.make_columns:
                problems.collect(making.calls_for, names, sets, {}, config.output, recipe.hints())
            yield from ((request, line) for line in problems)
        sets |= _added(request.job, config)


def _stored(output: str) -> dict[str, list[str]]:
    """Returns the column sets of a pool that is there; those of any pool where there is none."""
    try:
        return column_sets.stored_sets(output, workspace.read_pool(output))
    except InputError:
        return {columns.INDEX: columns.INDEX_SCHEMA.names}


def _added(job: str, config: Any) -> Mapping[str, list[str]]:
    """Returns the column sets that a job is going to add -> columns that a recipe may read of them."""
    if job in ("score", "curate"):
        return {resolve.parse_model(text).name: [*_OF_MODEL] for text in config.model}
    if job == "annotate":
        return {name: ["score", "label", "probability", "words", "characters", "tokens"] for name in config.wanted()}
    if job == "dedup":
        return {config.column_set(): ["duplicate_of", "similarity", "group"]}
    if job == "cluster":
        return {config.column_set(): ["cluster", "similarity", "margin"]}
    return {config.name: ["score"]} if job == "score-flyt" else {}


def run(file: JobFile, listed: Sequence[Listed], done: JobsDone, console: Console) -> list[Ended]:
    """Runs the jobs that are to do, one after the other, up to the first that fails."""
    ended: list[Ended] = []
    with interrupts.handled("run") as undo:
        for number, one in enumerate(listed, 1):
            job = one.request.job
            if one.done:
                ended.append(Ended(job, 0.0, True, driver.Outcome(0, (), {})))
                continue
            console.say(f"winnow run: job {number} of {len(listed)}, {job}")
            start = time.monotonic()
            parsed = one.parsed._replace(console=console)
            outcome = driver.run(job, driver.plan_of(job), parsed, undo, alone=not JOBS[job].pipeline)
            told = tuple(file.told(one.request, line) for line in outcome.problems)
            ended.append(Ended(job, time.monotonic() - start, False, outcome._replace(problems=told)))
            if outcome.code:
                break
            done.add(one.digest, job, parsed.config)
    return ended
