"""What it takes to start a job on a pool of many shards: requests, CPU, memory, and the size of the graph.

python -m benchmarks.scale [--shards 1000,10000,1280000] [--jobs select,reshard]

The pool has names and no images. All that a job asks of the output folder before its pipeline starts is there: the
table of the pool, the manifest, and the columns and decisions of the first shards. Files of the other shards are empty;
where there are more than ``column_sets.LISTED`` shards, nothing looks for them and they are left out.

Requests are calls of the store's client, a thousand names of a listing for each.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

JOBS = {
    "select": ["--recipe", "clip_score", "--set", "top_fraction.column=net.score", "--name", "other"],
    "reshard": ["--samples_per_shard", "10000"],
    "annotate": ["--columns", "caption"],
    "dedup": ["--by", "exact"],
    "cluster": ["--k", "2", "--column", "net.image"],
    "verify": [],
}
SAMPLES = 4
WHOLE = 16  # shards that have columns, of which jobs look at the first
PAGE = 1000


def name_of(number: int) -> str:
    """Returns the name of a shard; no pattern makes it shorter."""
    return f"{number * 0x9E3779B1 % 2**32:08x}/{number:08d}"


def write_output(root: str, count: int) -> None:
    """Writes an output folder as ``score`` and ``select`` leave it, but for the content of all shards but the first."""
    from beam_pipelines.planning import column_sets, workspace
    from transforms.lib import stamps
    from transforms.lib.columnstore.set_record import SetRecord
    from transforms.outputs import manifest, pool_table, selections
    from transforms.outputs.store import DECISIONS, Store
    from transforms.rows import FileRow, Shard

    names = sorted(map(name_of, range(count)))
    pool_table.write(root, [Shard(n, f"gs://bucket/pool/{n}.tar", 400_000_000, stamps.stamp(n=n)) for n in names])
    selection = "0" * 16
    store = Store(root, selection)
    index, scores, decisions = _tables()
    for name in names[:WHOLE]:
        store.write("index", name, index, "a" * 16, job="score")
        store.write("net", name, scores, "a" * 16, job="score")
        store.write(DECISIONS, name, decisions, "b" * 16, selection=selection, copies=str(SAMPLES))
    if count <= column_sets.LISTED:
        for owner in ("index", "net", DECISIONS):
            _empty(store.uri(owner, name) for name in names[WHOLE:])
    record = SetRecord.of(dict.fromkeys(names, "0" * 64))
    section = manifest.Section(
        "score", {"stamps": {"models": {"net": {}}}}, {}, (), (), {"index": record, "net": record}
    )
    manifest.write([section, manifest.Section("select")], root)
    workspace.write_run(root, {"pool": {"input": ["pool/**.tar"]}, "jobs": {}, "sets": []})
    books = {"selection": selection, "shards": count, "samples": SAMPLES, "kept": SAMPLES, "copies": SAMPLES}
    selections.begin(root, selection, selections.CURRENT)
    selections.close(FileRow("subset.npy", 0, stamps.sha256(b"")), books, [], root, selections.CURRENT)
    Path(root, selections.path_of(selection, "subset.npy")).write_bytes(b"")


def _tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    from transforms.lib.columnstore import columns

    kinds = {pa.string(): "", pa.int64(): 0, pa.int32(): 1, pa.uint64(): 0}
    index = {field.name: pa.array([kinds[field.type]] * SAMPLES, field.type) for field in columns.INDEX_SCHEMA}
    index["uid"] = pa.array([f"{row:032x}" for row in range(SAMPLES)])
    index["status"] = pa.array(["ok"] * SAMPLES)
    index["image_sha256"] = pa.array([f"{row:064x}" for row in range(SAMPLES)])
    rows = np.eye(SAMPLES, dtype=np.float32)
    scores = columns.score_table(np.arange(SAMPLES, dtype=np.float32), rows, rows)
    decided = [np.ones(SAMPLES, np.uint16), [""] * SAMPLES, np.zeros(SAMPLES, np.float32)]
    decisions = pa.table(decided, schema=columns.DECISIONS_SCHEMA)
    return pa.table(index, schema=columns.INDEX_SCHEMA), scores, decisions


def _empty(paths: Iterable[str]) -> None:
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(path).touch()


class Counting:
    """A store's client that counts what is asked of it.

    Args:
      client: that answers.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.requests: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def counted(*args: Any) -> Any:
            answer = found(*args)
            if name in ("children", "match"):
                answer = list(answer)
                self.requests[name] += len(answer) // PAGE
            self.requests[name] += 1
            return answer

        return counted


@contextlib.contextmanager
def counted_requests() -> Iterator[Counter[str]]:
    """Counts the requests to this machine's own files, as if they lay in a bucket."""
    from transforms.storage import clients

    known: Any = clients.CLIENTS
    before = known[None]
    known[None] = counting = Counting(before)
    try:
        yield counting.requests
    finally:
        known[None] = before


def _peak_mb() -> float:
    """Returns the largest memory of this program so far; ``getrusage`` would count that of who started it, too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def start(root: str, job: str) -> dict[str, Any]:
    """Plans a job, and makes the graph of its pipeline; returns what that took. Nothing runs."""
    import apache_beam as beam

    from beam_pipelines.config.jobs import JOBS as RECORDS
    from beam_pipelines.planning import plan_facts
    from beam_pipelines.running import beam_options, options

    parsed = options.parse(job, ["--output", root, *JOBS[job]])
    problems = plan_facts.Problems(parsed.problems, elsewhere=False)
    begun = time.process_time()
    with counted_requests() as requests:
        work = problems.collect(importlib.import_module(RECORDS[job].module).plan, parsed.config, problems)
        assert work is not None, list(problems)
        assert work.build is not None
        work.prepare()
        pipeline = beam.Pipeline(options=beam_options.pipeline_options([]))
        work.build(pipeline)
        graph = len(pipeline.to_runner_api().SerializeToString())
    return {
        "requests": sum(requests.values()),
        "graph_kb": graph / 1000,
        "cpu_s": time.process_time() - begun,
        "peak_mb": _peak_mb(),
    }


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", default="1000,10000,1280000")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--start", nargs=2, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.start:
        with contextlib.redirect_stderr(io.StringIO()):
            found = start(*told.start)
        print(json.dumps(found))
        return
    print(f"{'shards':>10} {'job':>10} {'requests':>9} {'graph kB':>9} {'CPU s':>7} {'peak MB':>8}")
    for count in map(int, told.shards.split(",")):
        with tempfile.TemporaryDirectory() as root:
            write_output(root, count)
            for job in told.jobs.split(","):
                command = [sys.executable, "-m", "benchmarks.scale", "--start", root, job]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                print("{:>10,} {:>10} {requests:>9} {graph_kb:>9.0f} {cpu_s:>7.1f} {peak_mb:>8.0f}".format(
                    count, job, **found), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
