"""Make a sorted subset file of any list of uids, joined with other lists.

winnow import-subset --input uids.txt --to subset.npy --sort --subtract evaluation.npy
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.subset import ImportSubsetConfig
from beam_pipelines.planning import plan_facts
from beam_pipelines.running import driver
from transforms.lib.errors import InputError
from transforms.lib.subsets import uid_lists
from transforms.outputs import uid_lists as uidlists
from transforms.storage import filesystem

JOINS = ("union", "intersect", "subtract")


def find(flag: str, uri: str) -> str:
    """Returns the local path of a list.

    Raises:
      InputError: there is none.
    """
    path = filesystem.fetch(uri)
    if not os.path.isfile(path):
        raise InputError(f"--{flag} {uri} does not exist; check the address")
    return path


def plan(config: ImportSubsetConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the lists."""
    named = [("input", config.input), *((flag, uri) for flag in JOINS for uri in getattr(config, flag))]
    paths = {(flag, uri): problems.collect(find, flag, uri) for flag, uri in named if uri}
    if problems:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            lists: dict[str, list[uid_lists.UidList]] = {flag: [] for flag in ("input", *JOINS)}
            for (flag, uri), path in paths.items():
                lists[flag].append(uid_lists.read(path or uri, f"--{flag} {uri}", config.sort, stack))
            (given,) = lists.pop("input")
            counts = uidlists.join(given, lists, config.to)
        text = "{read:,} uids read; {written:,} written, {distinct:,} of them distinct".format(**counts)
        return f"{text}: {config.to}", counts

    return driver.Work({"lists": [uri for _, uri in paths]}, lambda: None, None, finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("import-subset", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
