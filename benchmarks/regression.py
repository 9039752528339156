"""Whether this commit costs more CPU time than an earlier one: five small runs of both, side by side.

python -m benchmarks.regression [--base COMMIT] [--repeats 3] [--bound 1.3]      (`make test-speed`)

Both commits run under this environment's Python, one after the other in turns, on the same pool; the least CPU time of
each counts, so that another process on the machine matters little. The default base is where this branch left the
remote main, or else the parent. The exit code is 1 when a run takes more than ``--bound`` times the base's CPU time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import reshard, scorepool, select

ROOT = Path(__file__).parents[1]
READ = """
import sys
from transforms.lib.tar.shard_samples import open_tar, read_samples
for _ in range(40):
    with open(sys.argv[1], 'rb') as file:
        assert sum(1 for sample in read_samples(file)) > 2000
"""
WINNOW = "import sys; from beam_pipelines.cli import main; sys.exit(main(sys.argv[1:]))"


def runs(pool: Path, out: Path) -> dict[str, list[str]]:
    """Returns name of a run -> arguments of Python; a run may read what an earlier one of the same side wrote."""
    metadata, selected, scored = str(out / "metadata"), str(out / "selected"), str(out / "scored")
    tars = f"{pool}/tars/*.tar"
    return {
        "read the samples of a tar": ["-c", READ, f"{pool}/tars/00000000.tar"],
        "import-datacomp": ["-c", WINNOW, "import-datacomp", "--input", metadata, "--output", selected],
        "select": [
            "-c", WINNOW, "select", "--output", selected, "--recipe", "clip_score",
            "--set", f"top_fraction.column={select.L14}",
        ],
        "reshard by a subset file": [
            "-c", WINNOW, "reshard", "--input", tars, "--subset", f"{pool}/tars/subset.npy",
            "--output", str(out / "resharded"), "--samples_per_shard", "1000",
        ],
        "score": [
            "-c", WINNOW, "score", "--input", f"{pool}/pictures/*.tar", "--output", scored, "--model", "tinyclip",
        ],
    }  # fmt: skip


def make(pool: Path) -> None:
    """Writes what the runs read: 600,000 rows of metadata, 10,000 samples of 20 kB, and 100 pictures."""
    select.make(pool, 600_000, 4)
    (pool / "tars").mkdir()
    reshard.make(pool / "tars", 10_000, 4, 20_000)
    (pool / "pictures").mkdir()
    scorepool.make(pool / "pictures", 2, 50)


def cpu_seconds(tree: Path, arguments: list[str], log: Path) -> float | None:
    """Runs Python on the code of a checkout; returns its CPU seconds, children included, None where it failed."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", *arguments], cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=file
        )
        _, status, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime if status == 0 else None


def git(*words: str) -> str:
    """Returns what git prints in this checkout; empty where it fails."""
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def base_commit(named: str) -> str:
    """Returns the commit to compare with; empty where there is none, as in a shallow clone."""
    if named:
        return git("rev-parse", "--verify", f"{named}^{{commit}}")
    fork = git("merge-base", "HEAD", "origin/main")
    return fork if fork and fork != git("rev-parse", "HEAD") else git("rev-parse", "--verify", "HEAD~1")


def compare(base: Path, pool: Path, work: Path, repeats: int) -> dict[str, tuple[float | None, float | None]]:
    """Returns name of a run -> least CPU seconds of the base and of this checkout; None where it failed."""
    least: dict[str, tuple[float | None, float | None]] = {}
    for turn in range(repeats):
        for name in runs(pool, work):
            costs: list[float | None] = []
            for side, tree in (("base", base), ("now", ROOT)):
                out = work / side / str(turn)
                out.mkdir(parents=True, exist_ok=True)
                if not (out / "metadata").exists():
                    (out / "metadata").symlink_to(pool / "metadata")
                cost = cpu_seconds(tree, runs(pool, out)[name], work / f"{side} {name}.log")
                before = least.get(name, (None, None))[len(costs)]
                costs.append(cost if before is None else before if cost is None else min(before, cost))
            least[name] = (costs[0], costs[1])
        for side in ("base", "now"):
            shutil.rmtree(work / side / str(turn))
    return least


def report(found: dict[str, tuple[float | None, float | None]], bound: float, logs: Path) -> int:
    """Prints the table; returns how many runs are over the bound or fail here."""
    bad = 0
    print(f"{'CPU seconds, least of the turns':<36}{'base':>8}{'now':>8}{'ratio':>8}")
    for name, (base, now) in found.items():
        if now is None:
            said = " ".join((logs / f"now {name}.log").read_text(errors="replace").split())[-300:]
            print(f"{name:<36}{'':>8}{'failed':>8}  {said}")
            bad += 1
        elif base is None:
            print(f"{name:<36}{'':>8}{now:>8.2f}  the base cannot run it: not compared")
        else:
            over = now > bound * base
            print(f"{name:<36}{base:>8.2f}{now:>8.2f}{now / base:>8.2f}{'  over the bound' if over else ''}")
            bad += over
    return bad


def main() -> int:
    """Compares; returns 1 when a run is over the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="", help="commit to compare with")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bound", type=float, default=1.3, help="largest ratio of CPU seconds that passes")
    told = parser.parse_args()
    commit = base_commit(told.base)
    if not commit:
        print("there is no earlier commit in this clone: speed is not compared")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        base, pool, work = Path(folder, "base"), Path(folder, "pool"), Path(folder, "work")
        if not git("worktree", "add", "--detach", "--force", str(base), commit) and not base.exists():
            print(f"{commit} cannot be checked out: speed is not compared")
            return 0
        try:
            pool.mkdir()
            work.mkdir()
            make(pool)
            print(f"base: {git('log', '-1', '--format=%h %s', commit)}")
            return min(1, report(compare(base, pool, work, told.repeats), told.bound, work))
        finally:
            git("worktree", "remove", "--force", str(base))


if __name__ == "__main__":
    sys.exit(main())
