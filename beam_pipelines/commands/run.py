"""Run all jobs of a curation from one file.

winnow run curation.yaml
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.tools import RunConfig
from beam_pipelines.running import job_list, options
from beam_pipelines.running.console import Console
from beam_pipelines.running.job_file import JobFile
from transforms.lib.errors import ConfigError
from transforms.storage import filesystem

_SHOWN = ("samples", "kept", "copies", "shards", "report")
"""Values of a job that the summary shows."""


def read(path: str) -> JobFile:
    """Reads a file of jobs.

    Raises:
      ConfigError: it is not there, or something is wrong with it.
    """
    try:
        data = filesystem.read_if_exists(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if data is None:
        raise ConfigError(f"{path} does not exist; docs/run.md shows a file of jobs")
    return JobFile(path, data.decode("utf-8", "replace"))


def summary(ended: Sequence[job_list.Ended], jobs: int) -> str:
    """Returns a line per job: done before, or how long it took and what it counted."""
    lines = []
    for one in ended:
        values = one.outcome.values
        facts = ", ".join(f"{name} {values[name]}" for name in _SHOWN if values.get(name) not in (None, "", {}))
        state = "done before" if one.skipped else "FAILED" if one.outcome.code else f"{one.seconds:.0f} s"
        lines.append(f"  {one.job:<16}{state:<13}{facts}".rstrip())
    return "\n".join([f"winnow run: {sum(not one.outcome.code for one in ended)} of {jobs} jobs are done", *lines])


def _run(config: RunConfig, console: Console) -> int:
    file = read(config.file[0])
    if config.print:
        for request in job_list.complete(file):
            print(shlex.join(request.words()))
        return 0
    listed, done = job_list.check(file)
    if config.dry_run:
        states = [{"command": shlex.join(one.command()), "done": one.done} for one in listed]
        print(json.dumps({"job": "run", "jobs": states}, indent=1))
        return 0
    ended = job_list.run(file, listed, done, console)
    for line in ended[-1].outcome.problems:
        print(f"winnow run: {line}", file=sys.stderr)
    console.say(summary(ended, len(listed)))
    code = ended[-1].outcome.code
    if code:
        console.say("what is done is kept: run the same command again to go on")
    else:
        facts: list[dict[str, Any]] = [
            {"job": one.job, "skipped": one.skipped, "seconds": round(one.seconds, 1), **one.outcome.values}
            for one in ended
        ]
        print(json.dumps({"job": "run", "jobs": facts}, sort_keys=True))
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the jobs; returns the exit code: that of the job that failed, 2 where the file is wrong, else 0."""
    config, problems = options.parse_tool("run", sys.argv[1:] if argv is None else argv)
    console = Console(config.quiet, config.verbose, config.log_file)
    problems += console.problems()
    try:
        if problems:
            raise ConfigError(problems)
        with console.logging():
            return _run(config, console._replace(log_file=""))  # the jobs' lines are in the file already
    except ConfigError as error:
        for line in error.problems:
            print(f"winnow run: {line}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
