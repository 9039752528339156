"""Fuzzes every target in a process of its own, one after another, and keeps what reached something new.

python -m tests.fuzz.run --minutes 10
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import corpus, one
from tests.fuzz.targets import DATA, TARGETS

ROOT = Path(__file__).parents[2]
_STATS = {"executed": r"stat::number_of_executed_units:\s*(\d+)", "peak_mb": r"stat::peak_rss_mb:\s*(\d+)"}


def fuzz(target, seconds, folder):
    """Returns what one target's run counted, and the inputs that it ended with; one that failed is named."""
    command = [sys.executable, "-m", "tests.fuzz.one", target, str(folder), "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout + done.stderr
    counts = {name: int(found[1]) for name, form in _STATS.items() if (found := re.search(form, said))}
    if not counts and done.returncode == 0:
        counts = json.loads(done.stdout)
    failed = [str(path) for path in folder.iterdir() if path.is_file() and path.name != "last"]
    if done.returncode:
        if not failed:  # a library ended the process
            (folder / "crash-last").write_bytes(one.last_of(folder / "last"))
            failed = [str(folder / "crash-last")]
        print(said[-4000:], file=sys.stderr)
    reached = [path.read_bytes() for path in sorted((folder / "corpus").glob("*"))]
    return {"target": target, "seconds": seconds, **counts, "exit": done.returncode, "failed": failed}, reached


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--keep", action="store_true", help=f"write what is new into {DATA / 'fuzz'}")
    told = parser.parse_args()
    failed = False
    for target in told.target or TARGETS:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
        counts, reached = fuzz(target, int(told.minutes * 60), folder)
        print(json.dumps(counts), flush=True)
        failed |= bool(counts["failed"])
        if told.keep and reached:
            corpus.write(target, [*corpus.read(target), *reached])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
