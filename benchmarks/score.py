"""Scoring beside its limit, beside a bare open_clip loop, and beside clip-retrieval.

python -m benchmarks.score [--model ViT-S-32-alt] [--clip_retrieval PYTHON] [--shards 8] [--rows 250]

The weights are random and seeded; answers are compared before anything is timed. CPU seconds count on a busy machine;
wall seconds are for an idle one. ``steady`` rows leave start-up out and take the two in turn, shard by shard.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks import scorepool
from transforms.lib.columnstore import columns

COLUMNS = f"{'':<52}{'wall s':>9}{'CPU s':>9}{'CPU s / 1,000':>15}{'peak MB':>9}"
OURS: dict[str, tuple[str, ...]] = {
    "fp32": (),
    "fp32, fast": ("--preprocess", "fast"),
    "bf16": ("--precision", "bf16"),
}


def measured(command: list[str], **more: str) -> tuple[float, float, float, str]:
    """Runs a command; returns wall seconds, CPU seconds and peak megabytes, children included, and its output.

    Memory is the proportional set size of all its processes together, looked at twice a second: pages that they
    share count once.
    """
    start, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as sink, tempfile.TemporaryFile() as notes:
        process = subprocess.Popen(command, stdout=sink, stderr=notes, env={**os.environ, **more})
        while True:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, megabytes(process.pid))
            time.sleep(0.5)
        sink.seek(0)
        notes.seek(0)
        text = sink.read().decode()
        if status:
            raise SystemExit(f"{shlex.join(command)[:200]} failed: {notes.read().decode()[-1500:]}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, peak, text


def megabytes(process: int) -> float:
    """Returns the proportional set size of a process and all its children."""
    try:
        rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return 0.0
    own = sum(int(row.split()[1]) for row in rows if row.startswith("Pss:")) / 1000
    return own + sum(megabytes(int(child)) for child in children)


def part(name: str, *args: str) -> Any:
    """Returns what a part of ``benchmarks.scoreparts`` found, run in a process of its own."""
    return json.loads(measured([sys.executable, "-m", "benchmarks.scoreparts", name, *args])[3].splitlines()[-1])


def line(name: str, wall: float, cpu: float, peak: float, pairs: int) -> None:
    """Prints a row of the table."""
    shown = f"{peak:>9.0f}" if peak else ""
    print(f"{name:<52}{wall:>9.1f}{cpu:>9.1f}{1000 * cpu / pairs:>15.1f}{shown}", flush=True)


def ours(pool: str, model: str, output: str, *flags: str) -> tuple[float, float, float, str]:
    """Runs ``winnow score``."""
    command = [sys.executable, "-m", "beam_pipelines.score", "--input", pool, "--output", output]
    return measured([*command, "--model", f"m={model}", *flags])


def least_cosine(expected: Any, image: Any, text: Any) -> float:
    """Returns the least cosine between two sets of pairs of embeddings."""
    found = np.stack([image, text], 1).astype(float)[: len(expected)]
    norms = np.linalg.norm(found, axis=2) * np.linalg.norm(expected, axis=2)
    return float(((found * expected).sum(2) / norms).min())


def columns_of(folder: str) -> list[Any]:
    """Returns the image and text embeddings of a scored pool, in the order of its shards."""
    tables = [pq.read_table(path) for path in sorted(glob.glob(f"{folder}/columns/m/*.parquet"))]
    return [np.concatenate([columns.embeddings(table[name]) for table in tables]) for name in ("image", "text")]


def peer(python: str, pool: Path, shards: int, rows: int, arch: str, weights: str, output: str) -> list[str]:
    """Returns the command of clip-retrieval 2.45.0 for the same work; it needs two shards for its two workers."""
    braces = f"{pool}/{{{0:08d}..{shards - 1:08d}}}.tar"
    flags = {"input_format": "webdataset", "input_dataset": braces, "output_folder": output, "enable_metadata": "True"}
    flags |= {"batch_size": "64", "num_prepro_workers": "2", "wds_number_file_per_input_file": str(rows)}
    flags |= {"write_batch_size": str(max(1000, shards * rows)), "use_jit": "False"}  # one task: the network loads once
    flags |= {"clip_model": f"open_clip:{arch}/{weights}"}
    told = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return [python, "-c", "from clip_retrieval.cli import main; main()", "inference", *told]


def peer_columns(folder: str) -> tuple[Any, Any, list[str]]:
    """Returns clip-retrieval's image and text embeddings and the keys of its rows, which come in another order."""
    image, text = (
        np.concatenate([np.load(path) for path in sorted(glob.glob(f"{folder}/{kind}_emb/*.npy"))])
        for kind in ("img", "text")
    )
    tables = [pq.read_table(path) for path in sorted(glob.glob(f"{folder}/metadata/*.parquet"))]
    return image, text, [key for table in tables for key in table["image_path"].to_pylist()]


def race(told: argparse.Namespace, folder: Path, pool: Path) -> None:
    """Prints the table of one architecture, answers first."""
    every, pairs = f"{pool}/*.tar", told.shards * told.rows
    weights = str(folder / f"{told.model}.pt")
    model = f"{told.model}@{weights}#sha256={part('weights', weights, told.model)}"
    print(f"{told.model}, {pairs} pairs in {told.shards} shards\n{COLUMNS}", flush=True)
    threads = ("--threads", str(told.threads))
    if told.threads:
        os.environ["OMP_NUM_THREADS"] = str(told.threads)
    one = ours(f"{pool}/00000000.tar", model, f"{folder}/one", *threads)
    expected = np.array(part("direct", f"{pool}/00000000.tar", told.model, weights))
    least = least_cosine(expected, *columns_of(f"{folder}/one"))
    assert least >= 0.9999, f"least cosine to open_clip called directly: {least}"
    line("winnow score, fp32, of one shard: start-up", *one[:3], told.rows)
    for name, flags in OURS.items():
        line(f"winnow score, {name}", *ours(every, model, f"{folder}/{name}", *threads, *flags)[:3], pairs)
    loop = part("bare", every, told.model, weights)
    line("bare open_clip loop, two decode threads, no start-up", loop["wall"], loop["cpu"], 0, pairs)
    if told.clip_retrieval:
        command = peer(told.clip_retrieval, pool, told.shards, told.rows, told.model, weights, f"{folder}/peer")
        line("clip-retrieval 2.45.0", *measured(command, WANDB_MODE="disabled", HF_HUB_OFFLINE="1")[:3], pairs)
        compare_peer(folder)
    print(f"least cosine to open_clip called directly: {least:.6f}")
    for precision, variant in (("fp32", "exact"), ("fp32", "fast"), ("bf16", "exact")):
        steady(every, model, precision, told.threads, variant, told.rows)
    shifts(folder)


def compare_peer(folder: Path) -> None:
    """Prints the least cosine between our embeddings and clip-retrieval's."""
    image, text, keys = peer_columns(f"{folder}/peer")
    index = [pq.read_table(path) for path in sorted(glob.glob(f"{folder}/fp32/columns/index/*.parquet"))]
    where = {key: row for row, key in enumerate(key for table in index for key in table["key"].to_pylist())}
    mine = columns_of(f"{folder}/fp32")
    order = [where[key] for key in keys]
    assert sorted(order) == list(range(len(where))), "clip-retrieval left samples out"
    expected = np.stack([image, text], 1).astype(float)
    least = least_cosine(expected, mine[0][order], mine[1][order])
    print(f"least cosine to clip-retrieval, {len(order)} pairs: {least:.6f}", flush=True)


def steady(every: str, model: str, precision: str, threads: int, variant: str, rows: int) -> None:
    """Prints our rate without start-up as a share of the towers' own, medians over the shards."""
    found = part("steady", every, model, precision, str(threads), variant)
    (wall, cpu), (limit_wall, limit_cpu) = (np.median(found[name], axis=0) for name in ("ours", "limit"))
    shares = np.array(found["limit"])[:, 0] / np.array(found["ours"])[:, 0]
    print(
        f"steady, {precision} {variant}: {rows / wall:.1f} pairs/s ({1000 * cpu / rows:.1f} CPU s / 1,000) of "
        f"{rows / limit_wall:.1f} ({1000 * limit_cpu / rows:.1f}) from memory: "
        f"{np.median(shares):.2f} of it, shard by shard {shares.min():.2f} to {shares.max():.2f}",
        flush=True,
    )


def shifts(folder: Path) -> None:
    """Prints how far the scores of the variants are from those of fp32."""
    scores = {
        name: np.concatenate(
            [pq.read_table(p)["score"].to_numpy() for p in sorted(glob.glob(f"{folder}/{name}/columns/m/*"))]
        )
        for name in OURS
    }
    for name in list(OURS)[1:]:
        shift = np.abs(scores[name] - scores["fp32"])
        print(f"score shift of {name}, random weights: mean {shift.mean():.5f}, most {shift.max():.5f}")


def memory(told: argparse.Namespace, folder: Path) -> None:
    """Prints the peak memory of 2 and of 20 shards."""
    pool = scorepool.make(folder / "pool", 20, told.rows)
    weights = str(folder / f"{told.model}.pt")
    model = f"{told.model}@{weights}#sha256={part('weights', weights, told.model)}"
    print(COLUMNS)
    for shards in (2, 20):
        used = ours(f"{pool}/000000{{00..{shards - 1:02d}}}.tar", model, f"{folder}/{shards}")
        line(f"winnow score, {told.model}, {shards} shards", *used[:3], shards * told.rows)


def decode(pool: Path) -> None:
    """Prints how fast images are decoded and resized, without any network."""
    for variant in ("exact", "fast", "loader"):
        found = part("decoding", f"{pool}/*.tar", variant)
        rates = (found["images"] / found[kind] for kind in ("cpu", "wall"))
        print("{:<8}{:>8.0f} images per CPU second{:>8.0f} per second".format(variant, *rates), flush=True)


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-S-32-alt", help="an architecture of open_clip")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--rows", type=int, default=250, help="pairs in a shard")
    parser.add_argument("--threads", type=int, default=0, help="of every network; 0 = all cores")
    parser.add_argument("--clip_retrieval", help="python of an environment with clip-retrieval 2.45.0")
    parser.add_argument("--decode", action="store_true", help="only time decoding, images per CPU second")
    parser.add_argument("--memory", action="store_true", help="only measure peak memory of 2 and of 20 shards")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if told.memory:
            memory(told, folder)
            return 0
        pool = scorepool.make(folder / "pool", told.shards, told.rows)
        if told.decode:
            decode(pool)
        else:
            race(told, folder, pool)
    return 0


if __name__ == "__main__":
    sys.exit(main())
