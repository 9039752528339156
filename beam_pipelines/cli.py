"""The ``winnow`` command: picks the job; everything heavy is imported only by the job that runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from beam_pipelines.config.jobs import JOBS

OTHERS = {
    "launch": "start a job from its Dataflow template",
    "plan": "say what a pool will cost on each shape of worker",
    "models": "list what can be given to --model",
    "recipes": "list the recipes and what they do",
}


def usage() -> str:
    """Returns the overview that ``winnow --help`` prints."""
    lines = ["usage: winnow JOB [FLAGS]", "", "Curates image-text pools of WebDataset shards.", "", "jobs:"]
    jobs = {name: summary for name, (_, summary) in JOBS.items()} | OTHERS
    lines += [f"  {name:<17}{summary}" for name, summary in jobs.items()]
    return "\n".join([*lines, "", "`winnow JOB --help` lists the flags of a job.", ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``winnow``; returns the exit code: 0 done, 1 the job failed, 2 the request is wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else 2
    job, rest = args[0], args[1:]
    if job in JOBS and ({"-h", "--help"} & set(rest)):
        from beam_pipelines.running.options import parser_of

        print(parser_of(job).format_help())
        return 0
    if job not in JOBS and job not in OTHERS:
        print(f"winnow: there is no job {job!r}; there are {', '.join([*JOBS, *OTHERS])}", file=sys.stderr)
        return 2
    listed = ("models", "recipes")
    module = "listing" if job in listed else job.replace("-", "_")
    code: int = importlib.import_module(f"beam_pipelines.{module}").main([job, *rest] if module == "listing" else rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
