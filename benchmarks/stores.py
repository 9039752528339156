"""Shards of 1 MB through a server of Google Cloud Storage on loopback: a bare client, a pipeline, and a whole job.

python -m benchmarks.stores [--shards 400] [--rounds 3]

The bare loop downloads a shard and uploads it under another name, one after the other, by google-cloud-storage alone:
one request each way. The pipeline does the same by Winnow's storage in a Beam pipeline, its start included. The job is
`winnow reshard` of everything: index, decide, copy, and books.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests import servers
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

SAMPLES, IMAGE_BYTES = 25, 39_000


def fill(bucket: servers.Bucket, shards: int) -> tuple[int, list[str]]:
    """Uploads a pool; returns its bytes and its uids."""
    random, listed, size = np.random.default_rng(0), [], 0
    for shard in range(shards):
        tar = b""
        for row in range(SAMPLES):
            uid = f"{shard * SAMPLES + row + 1:032x}"
            listed.append(uid)
            tar += write_member(f"{uid}.json", json.dumps({"uid": uid}).encode())
            tar += write_member(f"{uid}.bin", random.bytes(IMAGE_BYTES))
        tar += END_OF_ARCHIVE
        bucket.upload(f"pool/{shard:05d}.tar", tar)
        size += len(tar)
    return size, listed


def bare(shards: int) -> None:
    """The loop that anybody would write."""
    from google.cloud.storage import Client

    bucket = Client().bucket("demo")
    for shard in range(shards):
        data = bucket.blob(f"pool/{shard:05d}.tar").download_as_bytes()
        bucket.blob(f"bare/{shard:05d}.tar").upload_from_string(data, "application/octet-stream")


def pipeline(shards: int) -> None:
    """The same by Winnow's storage, a shard an element."""
    import apache_beam as beam

    from beam_pipelines.running.beam_options import pipeline_options
    from transforms.storage import filesystem

    def copy(name: str) -> None:
        filesystem.write_atomic(f"gs://demo/piped/{name}", filesystem.read_bytes(f"gs://demo/pool/{name}"))

    with beam.Pipeline(options=pipeline_options([])) as piped:
        names = piped | beam.Create([f"{shard:05d}.tar" for shard in range(shards)]) | beam.Reshuffle()
        _ = names | beam.Map(copy)


def job(output: str, subset: Path, *more: str) -> None:
    """The whole job, in this process."""
    from beam_pipelines import cli

    flags = ["--input", "gs://demo/pool/*.tar", "--subset", str(subset), "--output", output]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.main(["reshard", *flags, "--samples_per_shard", str(SAMPLES), "--shuffle", "none", *more])
    if code:
        raise RuntimeError(said.getvalue())


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Returns wall and CPU seconds of this process."""
    wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, servers.gcs(Path(folder)) as bucket:
        os.environ.update(bucket.environment)
        size, listed = fill(bucket, told.shards)
        subset = Path(folder) / "all.npy"
        with subset.open("wb") as file:
            uids.write_subset(file, uids.subset(uids.pairs(listed)))
        print(f"{told.shards} shards, {size / 1e6:.0f} MB, copied; best of {told.rounds}")
        print(f"{'':<28}{'wall s':>8}{'CPU s':>8}{'MB/s':>8}{'of bare':>9}")
        found: dict[str, list[tuple[float, float]]] = {}
        for number in range(told.rounds):
            rows: dict[str, Callable[[], None]] = {
                "bare client loop": lambda: bare(told.shards),
                "pipeline over storage": lambda: pipeline(told.shards),
                "winnow reshard, whole job": functools.partial(job, f"gs://demo/out{number}", subset),
            }
            for name, work in rows.items():
                found.setdefault(name, []).append(timed(work))
        limit = min(found["bare client loop"])[0]
        for name, times in found.items():
            wall, cpu = min(times)
            print(f"{name:<28}{wall:>8.1f}{cpu:>8.1f}{size / wall / 1e6:>8.1f}{limit / wall:>9.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
