"""Say whether this machine can run Winnow, and whether it reaches its input and its output.

winnow doctor --input 'gs://bucket/pool/*.tar' --output gs://bucket/out
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence

from beam_pipelines.config.tools import DoctorConfig
from beam_pipelines.running import beam_options, machine_checks, options
from beam_pipelines.running.machine_checks import BAD, OK, Check
from transforms.lib.addresses import without_secrets
from transforms.lib.errors import ConfigError, CurationError

_CURE = "correct that, and run `winnow doctor` again"


def read_one(texts: Sequence[str]) -> str:
    """Lists an input and reads a byte of its first shard; returns what was found.

    Raises:
      CurationError: it cannot be listed or read.
    """
    from transforms.shards import find_shards
    from transforms.storage import pool_files

    shards = find_shards(tuple(texts))
    with pool_files.open_shard(shards[0].uri) as stream:
        stream.read(1)
    return f"{len(shards):,} shards; the first is readable: {shards[0].uri}"


def write_one(folder: str) -> str:
    """Writes a small file into an output folder, reads it and deletes it; returns what was done.

    Raises:
      CurationError: one of these does not work.
    """
    from transforms.storage import filesystem

    filesystem.check_writable(folder)
    uri, data = filesystem.join(folder, f"winnow-doctor-{secrets.token_hex(8)}"), b"winnow doctor"
    filesystem.write_atomic(uri, data)
    try:
        if filesystem.read_bytes(uri) != data:
            raise CurationError(f"{folder} gives other bytes than were written")
    finally:
        filesystem.discard([uri])
    return f"{folder}: a small file was written, read and deleted"


def _reached(name: str, work: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, work())
    except ConfigError as error:
        return Check(name, BAD, "; ".join(error.problems), _CURE)
    except (CurationError, OSError) as error:
        return Check(name, BAD, " ".join(str(error).split()), _CURE)


def checks(config: DoctorConfig) -> Iterator[Check]:
    """Yields what was looked at; credentials that an address needs and that are not there come before the address."""
    yield machine_checks.python()
    yield from machine_checks.packages()
    yield machine_checks.torch()
    for scheme in ("gs", "s3", "az", "hf"):
        yield machine_checks.credentials(scheme)
    yield machine_checks.disk("")
    if config.output and "://" not in config.output:
        yield machine_checks.disk(config.output)
    yield machine_checks.memory()
    yield machine_checks.java()
    if config.input:
        yield _reached("input", lambda: read_one(config.input))
    if config.output:
        yield _reached("output", lambda: write_one(config.output))


def _not_about_stores(rest: Sequence[str]) -> list[str]:
    others = beam_options.not_for_stores(rest)
    lines = [f"{' '.join(others)} is for a pipeline, and doctor runs none; leave it out"] if others else []
    return [*lines, *beam_options.store_problems(rest)]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what was looked at; returns the exit code: 0 all is well, 1 a run would fail, 2 the request is wrong."""
    parser = options.parser_of_tool("doctor")
    _, values, rest, problems = options.read(parser, sys.argv[1:] if argv is None else argv)
    config = DoctorConfig(**values)
    problems += [*config.problems(), *options.unknown_flags(rest, parser._option_string_actions)]
    problems += [] if problems else _not_about_stores(rest)
    for line in problems:
        print(f"winnow doctor: {line}", file=sys.stderr)
    if problems:
        return ConfigError.exit_code
    if config.input or config.output:
        beam_options.tell_stores(rest)
    found = []
    for check in checks(config):
        shown = check._replace(text=without_secrets(check.text))
        found.append(shown)
        if not config.json:
            print(f"{shown.state:<5} {shown.name:<12} {shown.text}")
            if shown.cure:
                print(f"{'':<18} -> {shown.cure}", flush=True)
    bad = sum(check.state == BAD for check in found)
    if config.json:
        print(json.dumps({"job": "doctor", "bad": bad, "checks": [check._asdict() for check in found]}))
    else:
        print(f"\n{bad} of {len(found)} would make a run fail" if bad else "\nall is well")
    return CurationError.exit_code if bad else 0


if __name__ == "__main__":
    sys.exit(main())
