"""The ``winnow`` command: picks the job; everything heavy is imported only by the job that runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from beam_pipelines.config.jobs import COMMANDS, JOBS, TOOLS
from beam_pipelines.config.records import Command, Listing
from transforms.lib import similar

_ALL: dict[str, Command] = {**JOBS, **COMMANDS}


def usage() -> str:
    """Returns the overview that ``winnow --help`` prints."""
    lines = ["usage: winnow JOB [FLAGS]", "", "Curates image-text pools of WebDataset shards.", "", "jobs:"]
    lines += [f"  {name:<17}{command.summary}" for name, command in _ALL.items()]
    last = ("`winnow JOB --help` lists the flags of a job.", "`winnow --version` names the versions.")
    return "\n".join([*lines, "", *last, ""])


def version() -> str:
    """Returns the line of ``winnow --version``: Winnow's version, and those of what computes its output."""
    from importlib import metadata

    libraries = ("apache-beam", "torch", "open_clip_torch", "pyarrow", "pillow")
    others = ", ".join(f"{name} {metadata.version(name)}" for name in libraries)
    return f"winnow {metadata.version('winnow-beam')} ({others}, Python {sys.version.split()[0]})"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``winnow``.

    Args:
      argv: the job and its flags; those of the process when None.

    Returns:
      the exit code: 0 done, 1 the job failed, 2 the request is wrong, 3 a crawl did not pass its gate; a process that
      is interrupted ends with 130.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _answer(args)
        sys.stdout.flush()
    except BrokenPipeError:  # `winnow models | head -1`: nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _answer(args: list[str]) -> int:
    """Prints what was asked for, or runs a job; returns the exit code."""
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if not args or args[0] in ("-h", "--help"):
        print(usage())
        return 0 if args else 2
    if args == ["--version"]:
        print(version())
        return 0
    name, rest = args[0], args[1:]
    if name not in _ALL:
        hint = similar.did_you_mean(name, _ALL, f"there are {', '.join(_ALL)}")
        print(f"winnow: there is no job {name!r}; {hint}", file=sys.stderr)
        return 2
    if {"-h", "--help"} & set(rest) and (name in JOBS or name in TOOLS):
        from beam_pipelines.running import options

        print((options.parser_of if name in JOBS else options.parser_of_tool)(name).format_help())
        return 0
    return _run(name, args, rest)


def _run(name: str, args: Sequence[str], rest: Sequence[str]) -> int:
    """Runs a job; one that is interrupted ends without a traceback."""
    from beam_pipelines.running import interrupts

    command = _ALL[name]
    with interrupts.handled(name):
        code: int = importlib.import_module(command.module).main(args if isinstance(command, Listing) else rest)
    return code


if __name__ == "__main__":
    sys.exit(main())
