"""Prints what clustering costs: assignment beside faiss and a bare sgemm, a round beside one process of numpy.

OMP_NUM_THREADS=1 python -m benchmarks.cluster [--rows 1000000] [--part assign|round|seeding|large]
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.beam_pipelines.embedded import write_scored
from transforms.lib import uids
from transforms.lib.clusters import kmeans, nearest, seeding
from transforms.lib.columnstore import columns

DIM = 512
SHARD_ROWS = 10_000
ROUNDS = 5


def unit_rows(count: int, seed: int) -> np.ndarray:
    """Returns float16 rows around 2,000 directions, as embeddings of a pool are not spread evenly."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(2000, DIM)).astype(np.float32)
    rows = centres[chance.integers(0, 2000, count)] + 1.2 * chance.normal(size=(count, DIM)).astype(np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def cpu(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def assign(rows: int) -> None:
    """Compares microseconds per row; all sides take turns over the rows, and the median turn counts.

    ``clusters`` is what a round of k-means and a target need; ``all`` is the column set, similarity and margin exact.
    """
    print(f"assignment, microseconds per row, one thread; {rows:,} float16 rows of {DIM}")
    print(f"{'k':>8}{'sgemm':>9}{'clusters':>10}{'rate':>6}{'all':>8}{'rate':>6}{'faiss':>9}; rates are those of sgemm")
    for k in (500, 10_000):
        turn = min(rows, 20_000 if k > 1000 else 100_000)
        found = turns(unit_rows(k, 1).astype(np.float32), unit_rows(turn, 2), max(rows // turn, 3))
        rates = {name: found["sgemm"] / found[name] for name in ("clusters", "all")}
        told = f"{found['clusters']:10.2f}{rates['clusters']:6.2f}{found['all']:8.2f}{rates['all']:6.2f}"
        print(f"{k:8,}{found['sgemm']:9.2f}{told}{found.get('faiss', float('nan')):9.2f}")


def turns(centroids: np.ndarray, part: np.ndarray, number: int) -> dict[str, float]:
    wide, ours = part.astype(np.float32), nearest.Nearest(centroids, "inner")
    sides: dict[str, Callable[[], Any]] = {
        "sgemm": lambda: sgemm(wide, centroids),
        "clusters": lambda: ours.clusters(part),
        "all": lambda: ours(part),
    }
    try:
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatIP(DIM)
        index.add(centroids)
        sides["faiss"] = lambda: index.search(part.astype(np.float32), 2)
    except ImportError:
        print("faiss is not installed: pip install faiss-cpu")
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(number):
        for name, side in sides.items():
            found[name].append(cpu(side) / len(part) * 1e6)
    return {name: float(np.median(values)) for name, values in found.items()}


def sgemm(rows: np.ndarray, centroids: np.ndarray) -> None:
    out = np.empty((1024, len(centroids)), np.float32)
    for at in range(0, len(rows), 1024):
        some = rows[at : at + 1024]
        np.matmul(some, centroids.T, out=out[: len(some)])


def lloyd_round(rows: int) -> None:
    """Compares CPU seconds of a round through the DirectRunner with those of one process, shard by shard."""
    with tempfile.TemporaryDirectory() as folder:
        shards = [unit_rows(SHARD_ROWS, 100 + at) for at in range(rows // SHARD_ROWS)]
        write_scored(f"{folder}/out", shards)
        del shards
        costs = [job_seconds(folder, count, rows) for count in (1, 1 + ROUNDS)]
        through = (costs[1][0] - costs[0][0]) / ROUNDS
        files = sorted(Path(folder).glob("out/columns/net/*.parquet"))
        centroids = unit_rows(500, 1).astype(np.float32)
        start = time.process_time()
        read = [columns.embeddings(pq.read_table(path, columns=["image"])["image"]) for path in files]
        reading = time.process_time() - start
        alone = cpu(lambda: one_process(read, centroids))
        print(f"a round over {rows:,} rows, k 500, CPU seconds: DirectRunner {through:.2f}")
        print(f"one process, rows in memory: {alone:.2f}; reading their Parquet: {reading:.2f}")
        print(f"DirectRunner / one process: {through / alone:.2f}")
        print(f"the whole job of {1 + ROUNDS} rounds: {costs[1][0]:.1f} CPU s, peak {costs[1][1]:.0f} MB")


def one_process(shards: list[np.ndarray], centroids: np.ndarray) -> None:
    total, counts = np.zeros((len(centroids), DIM), np.int64), np.zeros(len(centroids), np.int64)
    assign_to = nearest.Nearest(centroids, "inner")
    for rows in shards:
        sums = kmeans.cluster_sums(rows, assign_to.clusters(rows))
        total[sums.ids] += sums.vectors
        counts[sums.ids] += sums.counts
    kmeans.update(
        "spherical", kmeans.ClusterSums(np.flatnonzero(counts), total[counts > 0], counts[counts > 0]), centroids, True
    )


def job_seconds(folder: str, rounds: int, rows: int) -> tuple[float, float]:
    """Returns CPU seconds and peak MB of the cluster job."""
    flags = ["--output", f"{folder}/out", "--k", "500", "--tolerance", "0", "--sample", str(rows)]
    command = [sys.executable, "-m", "beam_pipelines.cluster", *flags, "--rounds", str(rounds), "--name", f"r{rounds}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    peak = 0.0  # not ru_maxrss: a process that is started begins with that of the one that starts it
    while process.poll() is None:
        peak = max(peak, peak_mb(process.pid))
        time.sleep(0.1)
    output = process.stdout.read() if process.stdout else b""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    global _before
    spent, _before = used.ru_utime + used.ru_stime - _before, used.ru_utime + used.ru_stime
    assert json.loads(output)["samples"] == rows
    return spent, peak


_before = 0.0


def peak_mb(pid: int) -> float:
    """Returns the most memory that a process has held, in MB; 0 when it has just ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) / 1e3 if found else 0.0


def large(k: int, rows: int) -> None:
    """Compares the exact product at a large k with faiss's approximate indexes: time a row, and share of same answers.

    Centroids are rows of the same kind as those assigned, as k-means at such a k leaves them; building is told apart.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    centroids, part = unit_rows(k, 1).astype(np.float32), unit_rows(rows, 2)
    wide, ours = part.astype(np.float32), nearest.Nearest(centroids, "inner")
    exact = ours(part[:1024]).cluster  # warm
    print(f"k {k:,}, {rows:,} rows, CPU microseconds per row")
    print(f"sgemm {cpu(lambda: sgemm(wide, centroids)) / rows * 1e6:.0f}", flush=True)
    print(f"ours {cpu(lambda: ours(part)) / rows * 1e6:.0f}", flush=True)
    exact = ours(part).cluster
    flat = faiss.IndexFlatIP(DIM)
    flat.add(centroids)
    print(f"faiss flat {cpu(lambda: flat.search(wide, 2)) / rows * 1e6:.0f}", flush=True)
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, 1024, faiss.METRIC_INNER_PRODUCT)
    hnsw = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
    ivf.cp.niter, hnsw.hnsw.efConstruction = 5, 64
    spent = cpu(lambda: (ivf.train(centroids[:: max(k // 40_000, 1)]), ivf.add(centroids)))
    print(f"faiss IVF 1,024: built in {spent:.0f} CPU s", flush=True)
    for ivf.nprobe in (16, 64, 256):
        search(f"  nprobe {ivf.nprobe}", ivf, wide, exact)
    print(f"faiss HNSW 32: built in {cpu(lambda: hnsw.add(centroids)):.0f} CPU s", flush=True)
    for hnsw.hnsw.efSearch in (32, 128, 512):
        search(f"  efSearch {hnsw.hnsw.efSearch}", hnsw, wide, exact)


def search(name: str, index: Any, rows: np.ndarray, exact: np.ndarray) -> None:
    found: list[Any] = []
    spent = cpu(lambda: found.append(index.search(rows, 2)[1][:, 0])) / len(rows) * 1e6
    print(f"{name}: {spent:.0f}, {100 * (found[0] == exact).mean():.1f} % of the clusters are right", flush=True)


def starts() -> None:
    for k in (500, 10_000):
        rows = unit_rows(seeding.rows_wanted(k), 5)
        hashes = np.sort(uids.keyed_hash(np.arange(2 * len(rows), dtype=np.uint64).reshape(-1, 2), 0))
        spent = cpu(functools.partial(seeding.draw, rows, hashes, k))
        print(f"start of k {k:,} from {len(rows):,} rows: {spent:.1f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--part", choices=["assign", "round", "seeding", "large"])
    args = parser.parse_args()
    for name, part in (
        ("assign", lambda: assign(args.rows)),
        ("round", lambda: lloyd_round(args.rows)),
        ("seeding", starts),
        ("large", lambda: large(100_000, 4_000)),
    ):
        if args.part in (None, name):
            part()


if __name__ == "__main__":
    main()
