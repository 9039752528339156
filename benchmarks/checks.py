"""What it costs to notice that a sample has changed, and what it cost to copy it: CPU seconds per GB of tar.

python -m benchmarks.checks [--samples 10000] [--bytes 60000] [--rounds 5]

One output shard is written from one input shard by the resharder's own worker, with each ``--check`` and digest in
turn, ``rounds`` times; the median counts. ``skipped`` finds a finished shard and digests it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from transforms.lib.columnstore import columns
from transforms.lib.reshard import shard_layout
from transforms.lib.samples.index_row import ReadRules, look
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample
from transforms.outputs.store import Store
from transforms.workers.write_shard import ReshardSettings, WriteShard

WAYS = {"headers": ("headers", "none"), "content": ("content", "none"), "crc32c": ("content", "crc32c")}
WAYS |= {"sha256": ("content", "sha256")}


def make(folder: Path, samples: int, size: int) -> Path:
    """Writes one shard of noise; nothing here decodes it."""
    noise = np.random.default_rng(0).bytes(2 * size)
    with (folder / "pool.tar").open("wb") as tar:
        for row in range(samples):
            members = [("jpg", noise[row % size :][:size]), ("txt", b"a thing")]
            about = json.dumps({"uid": f"{row * 0x9E3779B97F4A7C15 % 2**128:032x}"}).encode()
            tar.write(write_sample(f"{row:09d}", [*members, ("json", about)]))
        tar.write(END_OF_ARCHIVE)
    return folder / "pool.tar"


def index(root: Path, tar: Path, digest: str) -> ReshardSettings:
    """Writes an index and decisions that keep every sample."""
    rules = ReadRules(sample_digest=digest)
    with tar.open("rb") as file:
        rows = [look(raw, rules).row for raw in read_samples(file)]
    store = Store(str(root))
    store.write(columns.INDEX, "pool", pa.Table.from_pylist(rows, schema=columns.INDEX_SCHEMA), "i")
    kept = pa.table([np.ones(len(rows), np.uint16), [""] * len(rows), np.zeros(len(rows), np.float32)],
                    schema=columns.DECISIONS_SCHEMA)  # fmt: skip
    store.write("decisions", "pool", kept, "d", index="i")
    return ReshardSettings(str(root), samples_per_shard=len(rows))


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        tar = make(Path(name), told.samples, told.bytes)
        source = shard_layout.DecidedShard("pool", str(tar), "d", (told.samples,))
        ready = {way: index(Path(name, way), tar, digest) for way, (_, digest) in WAYS.items()}
        for _ in range(told.rounds):
            for way, settings in ready.items():
                write = WriteShard(dataclasses.replace(settings, check=WAYS[way][0]))
                (output,) = settings.outputs([source])
                for what in (way, f"skipped, {way}"):
                    start = time.process_time()
                    write(output)
                    spent.setdefault(what, []).append(time.process_time() - start)
                for path in Path(name, way, "shards").iterdir():
                    path.unlink()
        gigabytes = tar.stat().st_size / 1e9
    for what, seconds in spent.items():
        print(f"{what:<20}{statistics.median(seconds) / gigabytes:>8.3f} CPU s per GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
