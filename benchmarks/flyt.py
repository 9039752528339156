"""What M-FLYT and FLYT learn on the demo pool, a third of whose captions are shuffled; no label of the pool is used.

python -m benchmarks.flyt --assets DIR [--labelled DIR] [--seed 0]

The labelled pool is made of clip art that is in the training material and not in the demo pool: a class is a folder of
openclipart with 15 pictures or more. ``faults.json`` is read once, after everything was trained.
"""

from __future__ import annotations

import argparse
import collections
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from demo import assets, make_pool, pictures
from transforms.lib import columns, retrieval

POOL = Path("tests/data/pool")
NOISE = ("uniform", "normal", "lognormal")
# found on held-out pairs of the training material, a third of them shuffled; not on the demo pool
COMMON = ["--reference_start", "random", "--restart_every", "50", "--learning_rate", "1e-3", "--batch_size", "256"]
COMMON += ["--downstream_batch_size", "512", "--scoring_eps", "1e-12"]
MIX = ["--steps", "1000", "--scoring_learning_rate", "1e-2"]
HEAD = ["--steps", "300", "--scoring_learning_rate", "1e-4"]


def winnow(*args: object) -> dict:
    """Runs a job; returns its JSON line with the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "beam_pipelines.cli", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout.splitlines()[-1]), "cpu": cpu, "rss": after.ru_maxrss}


def make_labelled(folder: Path, found: Path) -> None:
    """Writes the labelled pool as a folder for each class."""
    training, _ = make_pool.split(make_pool.load(assets.fetch(found)))
    classes = collections.defaultdict(list)
    for item in training:
        parts = item.pair.path.parts
        if item.pair.source == "openclipart":
            below = parts[len(parts) - parts[::-1].index("png") : -1]
            classes[", ".join(reversed(below))].append(item.image)
    for name, held in classes.items():
        if len(held) >= 15 and name != "unsorted":
            (folder / name).mkdir(parents=True)
            for number, image in enumerate(held):
                (folder / name / f"{number:04d}.jpg").write_bytes(pictures.encode(image))


def add_noise(out: Path) -> None:
    """Adds columns that know nothing."""
    for path in sorted((out / "columns/tinyclip").glob("*.parquet")):
        random = np.random.default_rng(int(path.stem))
        rows = pq.read_metadata(path).num_rows
        for name in NOISE:
            values = getattr(random, name)(size=rows).astype(np.float32)
            table = pq.read_table(path, columns=["score"]).set_column(0, "score", [values])
            (out / f"columns/{name}").mkdir(exist_ok=True)
            (out / f"columns/{name}" / path.name).write_bytes(columns.to_parquet(table, name))


def auc(out: Path, scores: list[tuple[str, float]]) -> float:
    """Returns how often a matched pair of the demo pool stands above a shuffled one, by a sum of columns."""
    listed = json.loads((POOL / "faults.json").read_text())
    shuffled = {(row["shard"], row["key"]) for row in listed if row["fault"] == "shuffled_caption"}
    sides: tuple[list[float], list[float]] = ([], [])
    for path in sorted((out / "columns/index").glob("*.parquet")):
        index = pq.read_table(path, columns=["key", "status"]).to_pydict()
        total = sum(
            weight * pq.read_table(out / f"columns/{name}" / path.name)["score"].to_numpy().astype(np.float64)
            for name, weight in scores
        )
        for key, status, value in zip(index["key"], index["status"], total, strict=True):
            if status == "ok":
                sides[(path.stem, key) in shuffled].append(value)
    return retrieval.matched_auc(np.array(sides[0]), np.array(sides[1]))


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the demo's packages, as for make_pool")
    parser.add_argument("--labelled", type=Path, help="labelled pool that an earlier run made; made anew when absent")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work, start = Path(name), time.perf_counter()
        labelled = told.labelled or work / "labelled"
        if not labelled.exists():
            make_labelled(labelled, told.assets)
        print(f"labelled pool: {len(list(labelled.iterdir()))} classes, {time.perf_counter() - start:.0f} s")
        out = work / "out"
        winnow("score", "--input", POOL / "*.tar", "--output", out, "--model", "tinyclip")
        add_noise(out)
        given = ["--pool", out, "--downstream", labelled, "--seed", told.seed, *COMMON]
        names = ["tinyclip", *NOISE]
        mix = winnow("train-mix", "--output", work / "mix", *given, *MIX, *(f"--score={n}.score" for n in names))
        facts = json.loads((work / "mix/mix.json").read_text())
        flyt = winnow("train-flyt", "--output", work / "flyt", *given, *HEAD)
        winnow("score-flyt", "--output", out, "--head", work / "flyt")
        seconds = time.perf_counter() - start
        print(", ".join(f"{column} {weight:.3f}" for column, weight in facts["weights"].items()))
        parts = [(n, facts["weights"][f"{n}.score"] / facts["std"][f"{n}.score"]) for n in names]
        rows = {"CLIP score alone": [("tinyclip", 1.0)], "M-FLYT's mix": parts, "FLYT's head": [("flyt", 1.0)]}
        rows["the columns, weighted alike"] = [(n, 1 / facts["std"][f"{n}.score"]) for n in names]
        for what, scores in rows.items():
            print(f"{what:<30} AUC {auc(out, scores):.3f}")
        for what, run in (("train-mix", mix), ("train-flyt", flyt)):
            print(f"{what}: {run['cpu']:.0f} CPU-s, {run['rss'] / 1000:.0f} MB, skipped {run['skipped']}")
        print(f"{seconds:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
