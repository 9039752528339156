"""What the report costs: CPU seconds of `select` with and without it, its size, and the memory of a whole run.

python -m benchmarks.report --samples 1000000 --output /tmp/pool
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from beam_pipelines import cli
from beam_pipelines.planning import workspace
from transforms import report
from transforms.lib import stamps, uids
from transforms.lib.columnstore import columns
from transforms.outputs import file_rows
from transforms.rows import Shard
from transforms.storage import filesystem

ROWS = 10_000  # of a shard


def write_pool(output: str, samples: int) -> None:
    """Writes an output folder as scoring leaves it, with metadata of a web pool and without pictures."""
    shards = []
    for number in range(-(-samples // ROWS)):
        name, chance = f"{number:05d}", np.random.default_rng(number)
        rows = min(ROWS, samples - number * ROWS)
        kinds = {pa.string(): "", pa.int64(): 0, pa.int32(): 1, pa.uint64(): 0}
        table = {field.name: pa.array([kinds[field.type]] * rows, field.type) for field in columns.INDEX_SCHEMA}
        hosts = chance.zipf(1.6, rows) % 100_000
        table |= {
            "uid": pa.array(uids.to_hex(chance.integers(0, 2**64, (rows, 2), np.uint64))),
            "key": pa.array([f"{number:05d}{row:04d}" for row in range(rows)]),
            "status": pa.array(np.where(chance.random(rows) < 0.002, "image_undecodable", "ok").tolist()),
            "caption": pa.array([f"a caption of sample {row} " * (1 + row % 5) for row in range(rows)]),
            "image_extension": pa.array(chance.choice(["jpg", "png", "webp"], rows, p=[0.9, 0.07, 0.03]).tolist()),
            "url": pa.array([f"https://host{host}.example/{row}.jpg" for row, host in enumerate(hosts.tolist())]),
            "width": pa.array(chance.integers(100, 1200, rows), pa.int32()),
            "height": pa.array(chance.integers(100, 1200, rows), pa.int32()),
        }
        ok = np.array(table["status"].to_pylist()) == "ok"
        score = np.where(ok, chance.normal(0.22, 0.07, rows), np.nan).astype(np.float32)
        written = pa.table({"score": score}, schema=pa.schema([pa.field("score", pa.float32(), False)]))
        for owner, one in (("index", pa.table(table, schema=columns.INDEX_SCHEMA)), ("net", written)):
            data = columns.to_parquet(one, stamps.stamp(shard=name, owner=owner), job="score")
            filesystem.write_atomic(f"{output}/columns/{owner}/{name}.parquet", data)
        shards.append(Shard(name, f"pool/{name}.tar", 1000, stamps.stamp(name=name)))
    workspace.write_pool(output, shards)
    workspace.write_run(output, {"pool": {"input": ["pool/*.tar"]}, "jobs": {}})


def _without(books, summary, *sides):  # type: ignore[no-untyped-def]
    return file_rows.write(sides[-1].root, sides[-1].path, b"no report\n")


def select(output: str, with_report: bool) -> tuple[float, float]:
    """Runs ``select`` in a process of its own; returns its CPU seconds and the most memory it held, in MB."""
    child = os.fork()
    if child == 0:
        if not with_report:
            report.WriteReport.expand = lambda self, books: books | _write(self)  # type: ignore[method-assign]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = cli.main(["select", "--output", output, "--recipe", "dfn", "--direct_num_workers", "1"])
        os._exit(code)
    _, status, used = os.wait4(child, 0)
    assert status == 0, status
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


def _write(stage):  # type: ignore[no-untyped-def]
    import apache_beam as beam
    from apache_beam.pvalue import AsSingleton

    return beam.Map(_without, AsSingleton(stage.summary), stage.facts)


def main() -> None:
    """Prints a table of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--output", required=True)
    parser.add_argument("--runs", type=int, default=3)
    flags = parser.parse_args()
    if not Path(flags.output, "pool.parquet").exists():
        write_pool(flags.output, flags.samples)
    for _ in range(flags.runs):
        for with_report in (False, True):
            seconds, megabytes = select(flags.output, with_report)
            size = Path(flags.output, "report.html").stat().st_size
            print(f"report {with_report!s:5}  {seconds:7.1f} CPU s  {megabytes:7.0f} MB  {size:>10,} bytes", flush=True)


if __name__ == "__main__":
    main()
