"""Through which files a shard goes: score, select and reshard of one small shard, traced call by call.

    python -m benchmarks.shardway [--list]

Prints how many files of Winnow run on a worker and on the driver, and how many pairs (calling file, called file) there
are. A file counts when one of its functions is called. A worker is what Beam's worker calls, and every thread but the
main one; ``per shard`` is the part of it that is done once per shard.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
WORKER = "apache_beam/runners/worker/"
ON_A_SHARD = ("score_shard.py", "decide_shard.py", "write_shard.py", "prefetch.py")  # they begin what is done per shard
Way = dict[str, dict[tuple[str, str], None]]  # in the order of the first call


def _ours(path: str) -> str:
    """Returns the path below the checkout of a file of Winnow; empty for any other file."""
    inside = path.removeprefix(f"{ROOT}/")
    return inside if inside != path and inside.startswith(("transforms/", "beam_pipelines/")) else ""


def _caller(frame: FrameType) -> tuple[str, set[str]]:
    """Returns the nearest calling file of Winnow, and the places that the stack is in."""
    caller = ""
    worker = threading.current_thread() is not threading.main_thread()
    shard = frame.f_code.co_filename.endswith(ON_A_SHARD)
    above = frame.f_back
    while above is not None:
        path = above.f_code.co_filename
        caller = caller or _ours(path)
        worker = worker or WORKER in path
        shard = shard or path.endswith(ON_A_SHARD) or (path.endswith("fit.py") and "summarise" in above.f_code.co_name)
        above = above.f_back
    places = {"worker"} if worker else {"driver"}
    return caller, places | ({"per shard"} if worker and shard else set())


def trace(commands: list[list[str]]) -> Way:
    """Runs commands in this process; returns place -> pairs (calling file, called file)."""
    from beam_pipelines import cli

    pairs: Way = {"per shard": {}, "worker": {}, "driver": {}}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        function = frame.f_code.co_flags & inspect.CO_OPTIMIZED  # not the body of a module or class
        if event == "call" and function and (called := _ours(frame.f_code.co_filename)):
            caller, places = _caller(frame)
            for place in places:
                pairs[place].setdefault((caller, called))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        for command in commands:
            if code := cli.main(command):
                raise SystemExit(f"winnow {' '.join(command)} ended with {code}")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return pairs


def main() -> None:
    """Traces the three jobs and prints the counts; with ``--list`` the files too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the files")
    listed = parser.parse_args().list
    with tempfile.TemporaryDirectory() as folder:
        output = ["--output", f"{folder}/out"]
        limit = ["--max_reject_fraction", "0.1"]
        shard = str(ROOT / "tests/data/pool/00000.tar")
        pairs = trace(
            [
                ["score", "--input", shard, *output],
                ["select", *output, "--recipe", "dfn", "--keep_fraction", "0.5", *limit],
                ["reshard", *output, "--samples_per_shard", "100"],
            ]
        )
    for place, found in pairs.items():
        files = list(dict.fromkeys(called for _, called in found))
        crossings = sum(caller != called for caller, called in found)
        print(f"{place}: {len(files)} files, {crossings} pairs of calling and called files")
        if listed:
            print("\n".join(f"  {file}" for file in files))


if __name__ == "__main__":
    main()
