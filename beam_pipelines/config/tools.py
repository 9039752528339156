"""Flags of the commands around the jobs. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Flags, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(Flags):
    """Flags of ``run``."""

    file: tuple[str, ...] = flag(
        (),
        "YAML file with the jobs of a curation (docs/run.md)",
        required="name a file of jobs, for example `winnow run curation.yaml`",
        positional=True,
    )
    print: bool = flag(False, "print the commands that would run, and run none", operational=True)
    dry_run: bool = flag(False, "check the whole file, say which jobs are done, and run none", operational=True)
    quiet: bool = flag(False, "print errors and the last line of JSON only, no progress", operational=True)
    verbose: bool = flag(False, "print two lines per shard, as workers log them", operational=True)
    log_file: str = flag("", "file on this machine that gets the lines of workers, with times", operational=True)

    def problems(self) -> list[str]:
        problems = super().problems()
        if len(self.file) > 1:
            problems.append(f"{self.file[1]} is one file too many; run one after the other")
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoConfig(Flags):
    """Flags of ``demo``."""

    output: str = flag("winnow-demo", "folder for the result; new, or that of an earlier demo")
    no_open: bool = flag(False, "do not open the report in a browser")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorConfig(Flags):
    """Flags of ``doctor``."""

    input: tuple[str, ...] = flag((), "shards to look for, as for `winnow score`; a byte of the first one is read")
    output: str = flag("", "folder to try: a small file is written, read and deleted")
    json: bool = flag(False, "print one line of JSON in place of the table")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BrowseConfig(Flags):
    """Flags of ``browse``."""

    folder: tuple[str, ...] = flag(
        (), "output folder to look through", required="name an output folder, for example `winnow browse out`",
        positional=True,
    )  # fmt: skip
    selection: str = flag("", "name or ID of the selection whose decisions are shown; default: the current one, if any")
    port: int = flag(0, "port on this machine; 0 takes a free one", at_least=0, at_most=65_535)

    def problems(self) -> list[str]:
        problems = super().problems()
        if len(self.folder) > 1:
            problems.append(f"{self.folder[1]} is one folder too many; look through one at a time")
        return problems
