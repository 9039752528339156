"""From argv to settings, the flags for Beam and every problem. Beam is imported only where a flag is for Beam."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import os.path
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from beam_pipelines.cloud import presets
from beam_pipelines.config.base import Flags, flags_of
from beam_pipelines.config.jobs import JOBS, TOOLS
from beam_pipelines.running.console import Console
from transforms.lib import similar, tracking


class Parsed(NamedTuple):
    """A command line that was read.

    Attributes:
      config: settings of the job; defaults stand where a value is unusable.
      dry_run: whether to print the plan instead of running it.
      console: how much is said while the job runs, and where.
      beam_args: the flags for Beam and its runners, the preset's among them.
      problems: what is wrong with the flags, one line each.
      track: where the numbers of the finished job go; empty for nowhere.
    """

    config: Flags
    dry_run: bool
    console: Console
    beam_args: list[str]
    problems: list[str]
    track: str = ""


class _Parser(argparse.ArgumentParser):
    """An argument parser that raises its problems instead of ending the process, and takes whole names only."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> typing.NoReturn:
        raise argparse.ArgumentError(None, message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Lines of 80 columns at most: longer ones are hard to read, and a narrower terminal gets its own width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(shutil.get_terminal_size().columns, 80) - 2)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text!r}")
    return text.lower() == "true"


def _kind(annotation: Any) -> Any:
    """Returns what turns a text of the command line into one value of a field."""
    if typing.get_origin(annotation) is tuple:
        return typing.get_args(annotation)[0]
    if isinstance(annotation, types.UnionType):
        return typing.get_args(annotation)[0]
    return _bool if annotation is bool else annotation


def parser_of(job: str) -> argparse.ArgumentParser:
    """Returns the parser of a job: one flag per field of its config, ``--preset``, ``--layout`` and ``--dry_run``."""
    record = JOBS[job]
    required = " ".join(
        f"--{name} {name.upper()}" for name, declared in flags_of(record.settings).items() if declared.required
    )
    parser = flag_parser(
        prog=f"winnow {job}",
        usage=lines(f"winnow {job} {required} [FLAGS]".replace("  ", " "), " " * len("usage: "), ""),
        description=record.sentence,
        epilog=f"Flags of Beam are passed on, such as --runner and --direct_num_workers.\n\n"
        f"example:\n  {lines(record.example)}",
    )
    add_fields(parser, record.settings)
    names = ", ".join(presets.PRESETS)
    run = parser.add_argument_group("how the job is started")
    run.add_argument("--preset", default="", help=f"shape of Dataflow's workers: {names}; flags of Beam win over it")
    run.add_argument("--layout", default="", help="A: a process per vCPU, B: one process; default: the preset's own")
    run.add_argument("--dry_run", action="store_true", help="print what would be done and do nothing")
    run.add_argument("--quiet", action="store_true", help="print errors and the last line of JSON only, no progress")
    run.add_argument("--verbose", action="store_true", help="print two lines per shard, as workers log them")
    run.add_argument("--log_file", default="", help="file on this machine that gets the lines of workers, with times")
    run.add_argument("--track", default="", help="send the numbers of the finished job: tensorboard:FOLDER")
    return parser


def parser_of_tool(name: str) -> argparse.ArgumentParser:
    """Returns the parser of a command that is no job: one flag per field of its config."""
    tool = TOOLS[name]
    remark = f"{tool.remark}\n\n" if tool.remark else ""
    parser = flag_parser(
        prog=f"winnow {name}",
        usage=lines(f"winnow {name} {tool.usage}", " " * len("usage: "), ""),
        description=tool.sentence,
        epilog=f"{remark}example:\n  {lines(tool.example)}",
    )
    add_fields(parser, tool.settings)
    return parser


def lines(command: str, indent: str = " " * 6, end: str = " \\") -> str:
    """Returns a command in lines of less than 80 columns; a flag stays with its value.

    Args:
      command: one line.
      indent: what all lines but the first begin with.
      end: what all lines but the last end with.
    """
    bound = re.sub(r"(--\w+) (?!-)", "\\1\0", command)  # a zero byte is no place to break
    wrapped = textwrap.wrap(bound, 70, break_long_words=False, break_on_hyphens=False)
    return f"{end}\n{indent}".join(wrapped).replace("\0", " ")


def flag_parser(**settings: Any) -> argparse.ArgumentParser:
    """Returns a parser without flags that ``read`` can collect every problem from."""
    return _Parser(**settings, formatter_class=_Formatter)


def add_fields(parser: argparse.ArgumentParser, config: type[Flags]) -> None:
    """Adds the flags that the fields of ``config`` declare; ``problems`` of its instances checks their values.

    The help shows them in groups: those that are required, those that decide what is written, and those that do not.
    """
    kinds = typing.get_type_hints(config)
    required = parser.add_argument_group("required")
    decisive = parser.add_argument_group("what is done")
    operational = parser.add_argument_group("where and how fast; the output does not depend on these")
    for name, declared in flags_of(config).items():
        many = isinstance(declared.default, tuple)
        default = " ".join(declared.default) if many else declared.default
        text = declared.help() + ("" if default in ("", None) else f" (default: {default})")
        group = required if declared.required else operational if declared.operational else decisive
        if declared.positional:
            group.add_argument(name, nargs="*", metavar=name.upper(), help=text)
            continue
        group.add_argument(
            f"--{name}",
            type=_kind(kinds[name]),
            action="append" if many else "store",
            default=None,
            nargs="?" if kinds[name] is bool else None,
            const=True if kinds[name] is bool else None,
            metavar="VALUE" if many else name.upper(),
            help=text.replace("%", "%%"),
        )


def read(
    parser: argparse.ArgumentParser, argv: Sequence[str]
) -> tuple[argparse.Namespace, dict[str, Any], list[str], list[str]]:
    """Reads flags and collects every problem instead of stopping at the first.

    Returns:
      the namespace, the values that were given (repeated flags as tuples), the arguments that are no flags, and the
      problems.
    """
    problems: list[str] = []
    args = list(argv)
    while True:
        try:
            known, rest = parser.parse_known_intermixed_args(args)
            break
        except argparse.ArgumentError as error:
            problems.append(_readable(error.message))
            args = _without_culprit(args, error.message)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in vars(known).items() if v is not None}
    return known, values, rest, problems


def parse_config(job: str, argv: Sequence[str]) -> tuple[Flags, argparse.Namespace, list[str], list[str]]:
    """Reads the flags of a job without a look at Beam's.

    Returns:
      the settings (defaults where a value is unusable), the namespace, the arguments that are no flags of the job, and
      the problems.
    """
    known, values, rest, problems = read(parser_of(job), argv)
    kind = JOBS[job].settings
    names = {field.name for field in dataclasses.fields(kind)}
    config = kind(**{name: value for name, value in values.items() if name in names})
    config = config.dated(datetime.datetime.now(datetime.UTC).date())
    problems += config.problems()
    return config if problems else config.placed(), known, rest, problems


def parse_tool(name: str, argv: Sequence[str]) -> tuple[Any, list[str]]:
    """Reads the flags of a command that is no job.

    Returns:
      the settings (defaults where a value is unusable), and the problems.
    """
    parser = parser_of_tool(name)
    _, values, rest, problems = read(parser, argv)
    config = TOOLS[name].settings(**values)
    return config, [
        *problems,
        *(unknown_flag(text, parser._option_string_actions) for text in rest),
        *config.problems(),
    ]


def parse(job: str, argv: Sequence[str]) -> Parsed:
    """Reads the flags of a job and those for Beam, the preset's among them.

    Args:
      job: name in ``JOBS``.
      argv: what follows the job's name on the command line.
    """
    from beam_pipelines.running import beam_options, dataflow, runners  # --help has no use for them, and starts faster

    config, known, rest, problems = parse_config(job, argv)
    preset_problems = presets.check(known.preset, known.layout, getattr(config, "device", None))
    beam_args = rest if preset_problems else [*rest, *presets.beam_flags(known.preset, known.layout, rest)]
    known_flags = parser_of(job)._option_string_actions if rest else ()
    problems += [
        *preset_problems,
        *unknown_flags(rest, known_flags),
        *runners.problems(rest),
        *beam_options.store_problems(rest),
    ]
    problems += dataflow.problems(config, beam_args, known.preset) if JOBS[job].pipeline else []
    console = Console(known.quiet, known.verbose, known.log_file)
    problems += [*console.problems(), *tracking.problems(known.track)]
    return Parsed(config, known.dry_run, console, beam_args, problems, known.track)


def _readable(message: str) -> str:
    return message.removeprefix("argument ").replace(": invalid", " is unusable: invalid")


def _without_culprit(args: list[str], message: str) -> list[str]:
    """Returns the arguments without the first flag that the message names, with its value."""
    name = message.removeprefix("argument ").split(":")[0].split()[0]
    for at, text in enumerate(args):
        if text == name or text.startswith(f"{name}="):
            follows = text == name and at + 1 < len(args) and not args[at + 1].startswith("--")
            return args[:at] + args[at + (2 if follows else 1) :]
    return []


def unknown_flags(beam_args: Sequence[str], known_flags: Iterable[str] = ()) -> list[str]:
    """Returns a line for each argument that Beam and its runners do not know either; Beam itself would drop it.

    Args:
      beam_args: the arguments that are no flags of the job.
      known_flags: flags of the job, one of which may have been meant.
    """
    if not beam_args:
        return []
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = _Parser(add_help=False, conflict_handler="resolve")
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    try:
        unknown = parser.parse_known_args(list(beam_args))[1]
    except argparse.ArgumentError as error:
        return [_readable(error.message)]
    values = {text for flag, text in itertools.pairwise(unknown) if flag.startswith("--") and "=" not in flag}
    every = [*known_flags, *parser._option_string_actions]
    words = [text for text in unknown if not text.startswith("--") and text not in values]
    return [unknown_flag(text, every) for text in unknown if text.startswith("--")] + _words_without_flag(words)


def _words_without_flag(words: Sequence[str]) -> list[str]:
    """Returns the line about words that belong to no flag; several files are a pattern that the shell expanded."""
    if len(words) < 2:
        return [f"{word} belongs to no flag; --help lists the flags" for word in words]
    # A pattern may cut a name anywhere, so the common characters are wanted, not the common folders.
    start, end = (os.path.commonprefix(texts) for texts in (words, [word[::-1] for word in words]))  # noqa: RUF071
    shortest = min(map(len, words))
    pattern = f"'{start}*{end[: shortest - len(start)][::-1]}'"
    return [
        f"{words[0]} and {len(words) - 1} more belong to no flag; if your shell expanded a pattern, put it in "
        f"quotes: {pattern}"
    ]


def unknown_flag(text: str, known_flags: Iterable[str]) -> str:
    """Returns the line about an argument that is no flag, with the flag that may have been meant."""
    hint = f"{similar.did_you_mean(text.partition('=')[0], known_flags)} --help lists the flags"
    return f"{text} is unknown; {hint.strip()}"
