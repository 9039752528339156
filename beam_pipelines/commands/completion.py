"""Print the script by which a shell completes jobs, flags and values.

winnow completion bash > ~/.local/share/bash-completion/completions/winnow
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from beam_pipelines.cloud import presets
from beam_pipelines.config.base import flags_of
from beam_pipelines.config.jobs import COMMANDS, JOBS, TOOLS
from beam_pipelines.config.records import Job, Tool
from beam_pipelines.running import options, runners
from transforms.lib import similar

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/winnow",
    "zsh": "~/.zfunc/_winnow (a folder in $fpath)",
    "tcsh": "~/.winnow.tcsh (and `source ~/.winnow.tcsh` in ~/.tcshrc)",
}
"""Shell -> where its script belongs."""
_WORDS = ("help", "layout", "set", "name", "crawl_id")  # texts that name no file


def parser_of_all() -> argparse.ArgumentParser:
    """Returns one parser with a subparser per job and command, as ``shtab`` reads it."""
    root = argparse.ArgumentParser(prog="winnow", description="Curates image-text pools.")
    jobs = root.add_subparsers(dest="job")
    for name, record in {**JOBS, **COMMANDS}.items():
        made = options.parser_of(name) if name in JOBS else options.parser_of_tool(name) if name in TOOLS else None
        parents = [made] if made else []
        parser = jobs.add_parser(name, help=record.summary, parents=parents, add_help=not made, allow_abbrev=False)
        if isinstance(record, Job | Tool):
            _add_values(parser, record)
    jobs.choices["completion"].add_argument("shell", choices=list(SHELLS))
    return root


def _add_values(parser: argparse.ArgumentParser, record: Job | Tool) -> None:
    """Says what each flag of a job takes: one of its words, a recipe, a model, or a file."""
    import shtab

    from beam_pipelines.planning.recipes import recipe_names

    declared = flags_of(record.settings)
    for action in parser._actions:
        if action.dest in declared and declared[action.dest].choices:
            action.choices = list(declared[action.dest].choices)
        elif action.dest == "preset":
            action.choices = list(presets.PRESETS)
        elif action.dest == "recipe":
            action.choices = recipe_names()
        elif action.type in (str, None) and action.nargs != 0 and action.dest not in _WORDS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    if isinstance(record, Job) and record.pipeline:
        parser.add_argument("--runner", choices=runners.RUNNERS, help="what runs the pipeline; a flag of Beam")


def problem(args: Sequence[str]) -> str:
    """Returns what is wrong with the arguments; empty where nothing is."""
    if len(args) != 1:
        return f"name one shell of {', '.join(SHELLS)}; for example `winnow completion bash`"
    if args[0] not in SHELLS:
        return f"there is no script for {args[0]!r}; {similar.did_you_mean(args[0], SHELLS, _there_are())}"
    try:
        import shtab  # noqa: F401
    except ModuleNotFoundError:
        return "shtab is missing; run `pip install 'winnow-beam[completion]'`"
    return ""


def _there_are() -> str:
    return f"there are {', '.join(SHELLS)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the script; returns the exit code: 0 done, 2 the request is wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(args):
        places = "\n".join(f"  {shell:<6}{place}" for shell, place in SHELLS.items())
        print(f"usage: winnow completion SHELL\n\n{_sentence()}\n\nwhere the script belongs:\n{places}")
        return 0
    if line := problem(args):
        print(f"winnow completion: {line}", file=sys.stderr)
        return 2
    import shtab

    print(shtab.complete(parser_of_all(), shell=args[0]))
    return 0


def _sentence() -> str:
    return COMMANDS["completion"].sentence


if __name__ == "__main__":
    sys.exit(main())
