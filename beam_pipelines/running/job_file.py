"""A file with all jobs of a curation: its text, the requests in it, and the line that each problem is about."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from beam_pipelines.config.base import Flag, flags_of
from beam_pipelines.config.jobs import JOBS
from transforms.lib import similar
from transforms.lib.errors import ConfigError
from transforms.lib.recipes import yaml_text

_KEYS = ("shared", "jobs")
_SWITCHES = ("dry_run", "quiet", "verbose", "log_file")  # of `winnow run` itself
_STARTED = ("preset", "layout")  # flags of every job that are no fields of its settings
_FLAG = re.compile(r"--([a-zA-Z][\w-]*)")
_FORM = "a file of jobs is a YAML mapping with `jobs`, a list such as [score: {...}, select: {...}], and `shared`"


@dataclasses.dataclass(frozen=True)
class Request:
    """One job of a file.

    Attributes:
      job: its name.
      argv: its flags, those of the shared block among them.
      number: its place in the list of jobs; -1 for a job that the file lacks and needs.
    """

    job: str
    argv: tuple[str, ...]
    number: int

    def words(self) -> list[str]:
        """Returns the command."""
        return ["winnow", self.job, *self.argv]


class JobFile:
    """The text of a file of jobs.

    Args:
      path: for messages.
      text: what it holds.

    Raises:
      ConfigError: everything that is wrong with its form, one line each.
    """

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        try:
            document = yaml_text.load(text)
        except ConfigError as error:
            raise ConfigError([f"{path}: {line}" for line in error.problems]) from None
        if not isinstance(document, dict) or not isinstance(document.get("jobs"), list) or not document["jobs"]:
            raise ConfigError(f"{path}: {_FORM}")
        self._lines = yaml_text.lines(text)
        problems = [
            self.at((str(key),), f"{key!r} is unknown; {similar.did_you_mean(str(key), _KEYS, 'use shared, jobs')}")
            for key in document
            if key not in _KEYS
        ]
        shared = document.get("shared") or {}
        if not isinstance(shared, dict):
            problems.append(self.at(("shared",), "shared is a mapping of flags that several jobs have"))
            shared = {}
        self.shared: Mapping[str, Any] = shared
        self.requests = [*self._read(document["jobs"], problems)]
        problems += self._unused()
        if problems:
            raise ConfigError(problems)

    def at(self, path: tuple[str | int, ...], line: str) -> str:
        """Returns a message with the file and, where it is known, the line of what it is about."""
        place = self._lines.get(path) or self._lines.get(path[1:]) or self._lines.get(path[:2])
        return f"{self._path}, line {place}: {line}" if place else f"{self._path}: {line}"

    def told(self, request: Request, problem: str) -> str:
        """Returns a problem of a job with the line of the flag that it names, or else of the job."""
        of_job: tuple[str | int, ...] = ("jobs", request.number, request.job)
        for match in _FLAG.finditer(problem):
            for path in ((*of_job, match[1]), ("shared", match[1])):
                if path in self._lines:
                    return self.at(path, f"{request.job}: {problem}")
        return self.at(of_job, f"{request.job}: {problem}")

    def _read(self, entries: list[Any], problems: list[str]) -> Iterator[Request]:
        for number, entry in enumerate(entries):
            named = {entry: None} if isinstance(entry, str) else entry
            if not isinstance(named, dict) or len(named) != 1:
                problems.append(
                    self.at(("jobs", number), f"a job is written as `- score: {{flag: value}}`, got {entry!r}")
                )
                continue
            ((job, flags),) = named.items()
            if job not in JOBS:
                hint = similar.did_you_mean(str(job), JOBS, f"there are {', '.join(JOBS)}")
                problems.append(self.at(("jobs", number), f"there is no job {job!r}; {hint}"))
            elif not isinstance(flags, dict | None):
                problems.append(self.at(("jobs", number), f"{job}: its flags are a mapping, got {flags!r}"))
            else:
                path: tuple[str | int, ...] = ("jobs", number, job)
                argv = [*self._argv(job, {**self._shared_of(job), **(flags or {})}, path, problems)]
                yield Request(job, tuple(argv), number)

    def request_of(self, job: str) -> Request:
        """Returns a job that the list lacks, with the shared flags that it takes."""
        problems: list[str] = []
        argv = tuple(self._argv(job, self._shared_of(job), ("shared",), problems))
        if problems:
            raise ConfigError(problems)
        return Request(job, argv, -1)

    def _shared_of(self, job: str) -> dict[str, Any]:
        """Returns the shared flags that a job takes: its own, and those of Beam where it has a pipeline."""
        declared = flags_of(JOBS[job].settings)
        # `input` of `reshard` is for copying by a list alone, which a job says itself.
        known = {name for name, one in declared.items() if name != "input" or one.required} | {*_STARTED}
        ours = {name for other in JOBS.values() for name in flags_of(other.settings)} | {*_STARTED}
        beams = JOBS[job].pipeline
        return {name: value for name, value in self.shared.items() if name in known or (beams and name not in ours)}

    def _unused(self) -> Iterator[str]:
        """Yields a line for each shared flag that no job of the file takes."""
        jobs = {request.job for request in self.requests} | ({"score"} if "input" in self.shared else set())
        taken = {name for job in jobs for name in self._shared_of(job)}
        for name in self.shared:
            if self.requests and name not in taken:
                yield self.at(("shared", name), f"no job of the file has --{name}; leave it out")

    def _argv(
        self, job: str, flags: Mapping[str, Any], path: tuple[str | int, ...], problems: list[str]
    ) -> Iterator[str]:
        """Yields flags as words of a command line."""
        declared = flags_of(JOBS[job].settings)
        for name, value in flags.items():
            place = (*path, str(name)) if (*path, str(name)) in self._lines else ("shared", str(name))
            many = name in declared and isinstance(declared[name].default, tuple)
            if name in _SWITCHES:
                problems.append(self.at(place, f"{job}: --{name} is a flag of `winnow run` itself; give it there"))
            elif isinstance(value, dict) and many:
                yield from (f"--{name}={key}={_text(one)}" for key, one in value.items())
            elif isinstance(value, list) and (many or name not in declared) and not _nested(value):
                yield from (_word(name, one, declared) for one in value)
            elif value is None or isinstance(value, dict | list):
                problems.append(self.at(place, f"{job}: {name} must be one value, got {value!r}"))
            elif value is True and name not in declared:
                yield f"--{name}"  # a switch of Beam
            else:
                yield _word(name, value, declared)


def _word(name: str, value: Any, declared: Mapping[str, Flag]) -> str:
    positional = name in declared and declared[name].positional
    return _text(value) if positional else f"--{name}={_text(value)}"


def _nested(values: list[Any]) -> bool:
    return any(value is None or isinstance(value, dict | list) for value in values)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
