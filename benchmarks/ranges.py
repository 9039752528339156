"""When to read through a gap: byte ranges of one local shard at several retentions and gap limits.

python -m benchmarks.ranges [--samples 5000] [--bytes 35000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from typing import BinaryIO, cast

import numpy as np

from transforms.lib.byte_ranges import copy_ranges

GAPS = (0, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)


def cpu_seconds() -> float:
    """Returns user and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--bytes", type=int, default=35_000)
    told = parser.parse_args()
    size = told.bytes + 512 & -512
    print(f"{'kept':>6} {'gap limit':>10} {'requests':>9} {'read MB':>8} {'wanted MB':>10} {'CPU ms':>7}")
    with tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as copy:
        shard, sink = cast(BinaryIO, made), cast(BinaryIO, copy)
        shard.write(bytes(told.samples * size))
        shard.flush()
        for kept in (0.01, 0.05, 0.15, 0.3, 0.6, 0.9):
            rows = np.flatnonzero(np.random.default_rng(0).random(told.samples) < kept)
            for gap in GAPS:
                times = []
                for _ in range(3):
                    sink.seek(0)
                    start = cpu_seconds()
                    copied = copy_ranges(shard, rows * size, np.full(len(rows), size), sink, gap)
                    times.append(cpu_seconds() - start)
                row = f"{kept:>6.0%} {gap:>10,} {copied.requests:>9,} {copied.read_bytes / 1e6:>8.1f}"
                print(f"{row} {len(rows) * size / 1e6:>10.1f} {1000 * min(times):>7.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
