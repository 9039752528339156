"""Prints the cost of drawing as many copies as rows, beside the published loop: benchmarks/sampling.py [rows]."""

import functools
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes import recipe
from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.recipes.steps.sample import HardCapSample, Sample, SoftCapSample

SHARD_ROWS = 10_000
WORKERS = 2
REFERENCE_BATCHES = 2


def write_shard(folder: str, shard: int, rows: int) -> None:
    chance = np.random.default_rng(shard)
    columns = {"uid": chance.integers(0, 1 << 63, (rows, 2)).astype(np.uint64)}
    columns |= {name: chance.normal(0, 2.5, rows).astype(np.float32) for name in ("score", "other")}
    np.savez(f"{folder}/{shard}.npz", **columns)  # type: ignore[arg-type]  # numpy types it as its flag


def read_shard(folder: str, shard: int, names: tuple[str, ...]) -> Block:
    with np.load(f"{folder}/{shard}.npz") as file:
        columns = {name: file[name] for name in names}
    valid = np.ones(len(next(iter(columns.values()))), bool)
    return Block(str(shard), columns, valid, valid.astype(np.uint16))


def summarise(step: Step, state: Any, folder: str, shards: range) -> Any:
    parts = (step.summarise(read_shard(folder, shard, step.needs(state)), state) for shard in shards)
    return functools.reduce(step.merge, parts)


def apply(step: Step, state: Any, folder: str, shards: range) -> tuple[int, int, int]:
    copies, unique, most = 0, 0, 0
    for shard in shards:
        drawn = recipe.decide([step], read_shard(folder, shard, step.inputs()), [state]).copies
        copies, unique, most = copies + int(drawn.sum()), unique + int((drawn > 0).sum()), max(most, int(drawn.max()))
    return copies, unique, most


def cpu_seconds() -> float:
    return sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in USERS)


USERS = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def run(step: Step, folder: str, shards: int) -> tuple[float, float, float, tuple[int, int, int]]:
    """Returns wall seconds, CPU seconds, peak megabytes of all processes, and (copies, unique, most)."""
    start, cpu = time.perf_counter(), cpu_seconds()
    parts = [range(first, min(first + 32, shards)) for first in range(0, shards, 32)]
    with ProcessPoolExecutor(WORKERS) as pool:

        def spread(work: Callable[..., Any], state: Any) -> list[Any]:
            return list(pool.map(functools.partial(work, step, state, folder), parts))

        state = step.start()
        for _ in range(step.rounds):
            summary = functools.reduce(step.merge, spread(summarise, state)) if step.needs(state) else None
            state = step.solve(state, summary)
        found = spread(apply, state)
    copies, unique, most = zip(*found, strict=True)
    peak = resource.getrusage(USERS[0]).ru_maxrss + WORKERS * resource.getrusage(USERS[1]).ru_maxrss
    return time.perf_counter() - start, cpu_seconds() - cpu, peak / 1e3, (sum(copies), sum(unique), max(most))


def reference_seconds(rows: int, batch: int) -> float:
    """Returns the seconds of one batch of the published loop: softmax of the pool, then draws without replacement."""
    chance = np.random.default_rng(0)
    scores = chance.normal(0, 2.5, rows)
    start = time.process_time()
    for _ in range(REFERENCE_BATCHES):
        odds = np.exp(scores - scores.max())
        scores[chance.choice(rows, batch, replace=False, p=odds / odds.sum())] -= 0.15
    return (time.process_time() - start) / REFERENCE_BATCHES


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 12_800_000
    shards = -(-rows // SHARD_ROWS)
    batch = max(rows // 1280, 1)  # the published share: 100,000 of 128 million
    steps = {
        "soft cap, alpha 0.15": SoftCapSample("s", total=rows, alpha=0.15, batch=batch),
        "soft cap, alpha 0.25": SoftCapSample("s", total=rows, alpha=0.25, batch=batch),
        "hard cap 15": HardCapSample("s", total=rows, limit=15),
        "20 % without replacement": Sample("s", column="score", total=rows // 5),
        "mix of two columns": Mix("m", weights={"score": 0.8, "other": 0.65}),
    }
    with tempfile.TemporaryDirectory() as folder:
        with ProcessPoolExecutor(WORKERS) as pool:
            sizes = [min(SHARD_ROWS, rows - shard * SHARD_ROWS) for shard in range(shards)]
            list(pool.map(functools.partial(write_shard, folder), range(shards), sizes))
        print(f"{rows:,} rows in {shards} shards, {WORKERS} processes, {os.cpu_count()} cores")
        print(f"{'':26}{'wall s':>8}{'CPU s':>8}{'MB':>7}{'Mrows/CPU s':>13}{'copies':>13}{'unique':>12}{'most':>7}")
        for name, step in steps.items():
            wall, cpu, peak, (copies, unique, most) = run(step, folder, shards)
            print(f"{name:26}{wall:8.1f}{cpu:8.1f}{peak:7.0f}{rows / cpu / 1e6:13.2f}{copies:13,}{unique:12,}{most:7}")
    one = reference_seconds(rows, batch)
    print(f"the published loop: {one:.2f} CPU s a batch of {batch:,}; {1280 * one:,.0f} s for its 1,280 batches")


if __name__ == "__main__":
    main()
