"""Prints what deduplication finds on the demo pool, and what it costs: benchmarks/dedup.py [--output DIR] [--rows N].

``--output`` is an output folder of the demo pool, scored (`make demo`): SemDeDup is run on it too. Without it, an index
of the pool is made. The duplicates planted in the pool are listed in its faults.json. Memory is what a process holds of
its own; the embeddings lie in a file.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transforms.lib.dedup import groups, hamming, semdedup
from transforms.lib.dedup.components import merge

POOL = Path(__file__).resolve().parent.parent / "tests/data/pool"
DIM = 512


def index_of(folder: str) -> None:
    """Makes the index of the demo pool, without a model."""
    from beam_pipelines.config.score import ScoreConfig
    from beam_pipelines.planning import workspace
    from transforms import shards as pools
    from transforms.workers.score_shard import ScoreSettings, ScoreShard

    shards = pools.find_shards([f"{POOL}/*.tar"])
    config = ScoreConfig(output=folder, input=(f"{POOL}/*.tar",))
    workspace.write_run(folder, workspace.check_output(config, "score"))
    score = ScoreShard(ScoreSettings(folder, ()))
    models = score.load()
    for shard in shards:
        score(shard, models)
    workspace.write_pool(folder, shards)


def planted(kind: str) -> set[frozenset[str]]:
    """Returns the pairs (key of a planted copy, key of its original): the same picture by title and author."""
    of_key = {key: (title, author) for key, title, author in json.loads((POOL / "attribution.json").read_text())}
    faults = json.loads((POOL / "faults.json").read_text())
    copies = {fault["key"] for fault in faults if fault["fault"] == kind}
    return {frozenset((a, b)) for a in copies for b in of_key if a != b and of_key[a] == of_key[b]}


def found_pairs(folder: str, name: str) -> set[frozenset[str]]:
    """Returns the pairs (key of a copy, key of its survivor) that a column set has."""
    keys: dict[str, str] = {}
    copies: list[tuple[str, str]] = []
    for path in sorted(Path(folder, "columns/index").glob("*.parquet")):
        index = pq.read_table(path, columns=["uid", "key"]).to_pydict()
        keys |= dict(zip(index["uid"], index["key"], strict=True))
        made = pq.read_table(Path(folder, "columns", name, path.name))["duplicate_of"].to_pylist()
        copies += [(key, other) for key, other in zip(index["key"], made, strict=True) if other]
    return {frozenset((key, keys[other])) for key, other in copies}


def quietly(*flags: str) -> None:
    from beam_pipelines.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(list(flags)) == 0


def accuracy(folder: str) -> None:
    exact, near = planted("exact_duplicate"), planted("near_duplicate")
    runs: list[tuple[str, set[frozenset[str]], list[str]]] = [("exact", exact, [])]
    runs += [("phash", near, ["--radius", str(radius)]) for radius in (0, 1, 2, 3, 4, 6)]
    if Path(folder, "columns/tinyclip").exists():
        quietly("cluster", "--output", folder, "--k", "25", "--name", "bench_cells")
        runs += [
            ("semantic", exact | near, ["--clusters", "bench_cells", "--epsilon", epsilon])
            for epsilon in ("0.03", "0.05", "0.07", "0.1")
        ]
    print(f"{'':24}{'planted':>8}{'found':>7}{'recall':>8}{'others':>8}{'precision':>11}")
    for by, pairs, flags in runs:
        quietly("dedup", "--output", folder, "--by", by, "--name", "bench", *flags)
        found = found_pairs(folder, "bench")
        hit = found & pairs
        others = found - pairs - exact
        recall, precision = len(hit) / len(pairs), len(hit) / max(len(hit) + len(others), 1)
        name = " ".join([by, *flags[-2:]])
        print(f"{name:24}{len(pairs):8}{len(hit):7}{recall:8.3f}{len(others):8}{precision:11.3f}")


class Spent:
    """CPU seconds and the most megabytes of its own that this process holds inside the block."""

    def __enter__(self) -> "Spent":
        self.cpu, self.peak, self._over = -self._seconds(), 0.0, threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu += self._seconds()
        self._over.set()
        self._watch.join()

    @staticmethod
    def _seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def _look(self) -> None:
        while not self._over.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            found = next(line for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, int(found.split()[1]) / 1e3)


def semantic(rows: int, cluster_rows: int, chains: str) -> tuple[float, float, float, int]:
    """Returns CPU seconds of SemDeDup, of a bare sgemm of the same size, peak MB and copies; vectors lie on disk."""
    chance = np.random.default_rng(0)
    clusters = max(rows // cluster_rows, 1)
    with tempfile.TemporaryFile() as file:
        for start in range(0, rows, 10_000):
            size = min(10_000, rows - start)
            pictures = np.random.default_rng(1 + start // 20_000).normal(size=(10_000, DIM))[:size]  # half are copies
            near = pictures + 0.1 * chance.normal(size=(size, DIM))
            unit = near / np.linalg.norm(near, axis=1, keepdims=True)
            file.write(semdedup.normalised_on_grid(unit.astype(np.float16)).data)
        file.flush()
        vectors = np.memmap(file, np.float32, "r", shape=(rows, DIM))
        records = np.zeros(rows, np.dtype([("cluster", "<i4"), *groups.PLACE]))
        records["cluster"] = np.arange(rows) % 10_000 % clusters
        records["row"] = np.arange(rows)
        records["uid"][:, 1] = np.arange(rows)
        records["order"] = chance.permutation(rows)
        with Spent() as job:
            _, made = semdedup.clusters(records, vectors, epsilon=0.07, chains=chains, seed=0, fresh=1)
        del vectors
    tile = chance.normal(size=(semdedup.TILE, DIM)).astype(np.float32)
    with Spent() as bare:
        for _ in range(20):
            tile @ tile.T
    cells = rows * (rows / clusters + 1) / 2
    return job.cpu, bare.cpu / 20 / semdedup.TILE**2 * cells, job.peak, int(made["dropped"].sum())


def near_hashes(rows: int) -> tuple[float, float, int]:
    """Returns CPU seconds, peak MB and near hashes of random hashes, a tenth of them near another one."""
    chance = np.random.default_rng(0)
    hashes = chance.integers(0, 1 << 64, rows, np.uint64)
    hashes[: rows // 10] = hashes[-(rows // 10) :] ^ (np.uint64(1) << chance.integers(0, 64, rows // 10, np.uint64))
    with Spent() as job:
        found = merge(hamming.near(np.unique(hashes), 2, mask) for mask in hamming.bands(2))
    return job.cpu, job.peak, len(found)


def alone(work: Any, *args: Any) -> Any:
    """Runs ``work`` in a process of its own, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args).result()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="")
    parser.add_argument("--rows", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not given.output:
            index_of(folder)
        accuracy(given.output or folder)
    print(f"\nSemDeDup, {DIM} dimensions, clusters of 1,000, epsilon 0.07")
    print(f"{'rows':>10}{'chains':>12}{'CPU s':>8}{'sgemm s':>9}{'peak MB':>9}{'copies':>9}")
    for rows, chains in (
        (given.rows // 10, "released"),
        (given.rows // 4, "released"),
        *((given.rows, c) for c in semdedup.CHAINS),
    ):
        cpu, bare, peak, copies = alone(semantic, rows, 1000, chains)
        print(f"{rows:10,}{chains:>12}{cpu:8.1f}{bare:9.1f}{peak:9.0f}{copies:9,}")
    cpu, bare, peak, copies = alone(semantic, 40_000, 40_000, "released")
    print(f"{40_000:10,}{'one cluster':>12}{cpu:8.1f}{bare:9.1f}{peak:9.0f}{copies:9,}")
    print(f"\nnear hashes, radius 2\n{'hashes':>10}{'CPU s':>8}{'peak MB':>9}{'near':>9}")
    for rows in (250_000, 1_000_000, 4_000_000):
        cpu, peak, found = alone(near_hashes, rows)
        print(f"{rows:10,}{cpu:8.1f}{peak:9.0f}{found:9,}")


if __name__ == "__main__":
    main()
