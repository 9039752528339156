"""What many small shards, few huge ones, and tars of gigabytes cost: python -m benchmarks.load [--scale 1].

Each pool is indexed, half of it chosen by a subset file, and that half written again: all stages, no network. Every
pool is run at half of its size too, which shows how time and memory grow. The tars of gigabytes are sparse files on the
disk: members of zeros, one of more than 4 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import spent
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

IMAGE = b"\xff\xd8\xff" + bytes(2000) + b"\xff\xd9"  # never decoded
SHAPES = {"many small": (2000, 100), "few huge": (4, 200_000)}
GIGABYTE = 1 << 30


def write_pool(folder: Path, shards: int, rows: int) -> None:
    """Writes shards of pairs whose uids are their numbers."""
    folder.mkdir()
    for shard in range(shards):
        with (folder / f"{shard:05d}.tar").open("wb") as file:
            for row in range(rows):
                key, uid = f"{shard:05d}{row:06d}", shard * rows + row
                file.write(write_member(f"{key}.jpg", IMAGE))
                file.write(write_member(f"{key}.json", b'{"uid": "%032x"}' % uid))
                file.write(write_member(f"{key}.txt", b"words"))
            file.write(END_OF_ARCHIVE)


def write_sparse(path: Path, members: list[int]) -> None:
    """Writes a tar of members of so many zeros, which take no room on the disk."""
    with path.open("wb") as file:
        for number, size in enumerate(members):
            whole = write_member(f"{number:06d}.jpg", b"")
            header = bytearray(whole[:512])
            header[124:136] = b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            file.write(header)
            file.seek(size + -size % 512, 1)
            file.write(write_member(f"{number:06d}.txt", b"words"))
        file.write(END_OF_ARCHIVE)


def reshard(pool: Path, output: Path, subset: Path, *flags: str) -> list[str]:
    """Returns the command of all stages."""
    command = [
        sys.executable,
        "-m",
        "beam_pipelines.cli",
        "reshard",
        "--input",
        f"{pool}/*.tar",
        "--output",
        str(output),
    ]
    return [*command, "--subset", str(subset), "--quiet", *flags]


def measure(name: str, shards: int, rows: int) -> None:
    """Prints a row of the table for a pool, after checking that the output is complete."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pool(folder / "pool", shards, rows)
        half = np.zeros((shards * rows // 2, 2), np.uint64)
        half[:, 1] = 2 * np.arange(len(half))
        with (folder / "subset.npy").open("wb") as file:
            uids.write_subset(file, uids.subset(half))
        cost = spent(reshard(folder / "pool", folder / "out", folder / "subset.npy"))
        kept = np.load(folder / "out" / "subset.npy")
        assert len(kept) == len(half), "the output is complete"
        samples = shards * rows
        each, size = f"{1e6 * cost.cpu / samples:.0f} us", f"{shards:,} x {rows:,}"
        row = [name, size, f"{cost.wall:.0f} s", f"{cost.cpu:.0f} s", each, f"{cost.peak_mb:.0f} MB"]
        print(f"| {' | '.join(row)} |", flush=True)


def measure_sparse(name: str, members: list[int]) -> None:
    """Prints a row of the table for one sparse tar, of which nothing is kept, and what became of its samples."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "pool").mkdir()
        path = folder / "pool" / "0.tar"
        write_sparse(path, members)
        np.save(folder / "subset.npy", np.zeros(1, "u8,u8"))
        command = reshard(folder / "pool", folder / "out", folder / "subset.npy", "--max_reject_fraction", "1")
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)  # it ends with 1, since no listed uid is in the pool
        wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
        (books,) = (folder / "out").glob("selections/*/books.json")
        rejected = json.loads(books.read_text())["rejected"]
        size = f"{path.stat().st_size / GIGABYTE:.1f} GiB"
        row = [name, size, f"{wall:.0f} s", f"{cpu:.0f} s", str(rejected), f"{usage.ru_maxrss / 1000:.0f} MB"]
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="of the pools' sizes")
    told = parser.parse_args()
    print("| pool | shards x samples | wall | CPU | CPU per sample | peak |\n|---|---|---|---|---|---|")
    for name, (shards, rows) in SHAPES.items():
        for part in (0.5, 1):
            share = told.scale * part
            many = shards > rows
            measure(name, int(shards * share) if many else shards, rows if many else int(rows * share))
    measure_sparse("40 members of 256 MiB", [GIGABYTE >> 2] * int(40 * told.scale))
    measure_sparse("one member of 5 GiB", [5 * GIGABYTE])


if __name__ == "__main__":
    main()
