"""Runs the demo many times, kills each at random moments, lets it go on, and compares the bytes of the outputs.

python -m tests.chaos.kills --runs 30
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.beam_pipelines.files import digests
from tests.chaos import processes

POOL = "tests/data/pool"
FLAGS = ("--recipe", "dfn", "--keep_fraction", "0.5", "--samples_per_shard", "100", "--max_reject_fraction", "0.2")
KILLS = 3  # of one run, at most
PASSING = ("verify.json",)  # of an output, what is not a function of its inputs alone


def curate(output, *flags):
    """Starts the demo."""
    return processes.start("curate", "--input", f"{POOL}/*.tar", "--output", output, *FLAGS, *flags)


def through(output, *flags):
    """Runs the demo to its end; returns the seconds that it took."""
    start = time.monotonic()
    job = curate(output, *flags)
    _, stderr = job.communicate(timeout=1200)
    if job.returncode:
        raise RuntimeError(f"exit code {job.returncode}: {stderr}")
    return time.monotonic() - start


def killed(output, seconds, seed, *flags):
    """Kills a run at up to three moments drawn from a seed, and lets it go on; returns how often it was killed."""
    draw = np.random.default_rng(seed)
    kills = 0
    for moment in draw.uniform(0.05, 0.9, KILLS) * seconds:
        job = curate(output, *flags)
        time.sleep(moment)
        kills += job.poll() is None
        processes.kill(job)
    through(output, *flags)
    return kills


def run(folder, runs, *flags, seed=0, tell=lambda line: None):
    """Returns (runs whose bytes are equal, kills) of so many runs below a folder; tells how far it is after each."""
    seconds = through(folder / "whole", *flags)
    expected = digests(folder / "whole", *PASSING)
    equal = kills = 0
    for number in range(runs):
        output = folder / f"run{number}"
        kills += killed(output, seconds, seed + number, *flags)
        equal += digests(output, *PASSING) == expected
        shutil.rmtree(output)
        tell(json.dumps({"runs": number + 1, "equal": equal, "kills": kills}))
    return equal, kills


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        equal, kills = run(Path(folder), told.runs, seed=told.seed, tell=lambda line: print(line, file=sys.stderr))
    print(json.dumps({"runs": told.runs, "equal": equal, "kills": kills}))
    return 0 if equal == told.runs else 1


if __name__ == "__main__":
    sys.exit(main())
