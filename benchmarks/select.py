"""Selecting the top 30 % of a DataComp-schema pool, from columns to subset.npy, beside numpy and the field's way.

python -m benchmarks.select [--rows 12800000] [--files 26]

The peers read the same Parquet files. "numpy" is one plain process: partition, then sort the kept uids.
"pandas" is how the published script does it: whole columns, a full sort, uids parsed one by one.
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
import pyarrow as pa

from transforms.lib import columns, uids
from transforms.rows import Shard
from transforms.store import Store

CAPTIONS = [
    "a photo of a dog",
    "Stock Photo",
    "IMG_0042.JPG",
    "Red shoes, size 42, new in box",
    "la maison bleue au bord",
]

NUMPY = """
import glob, sys, numpy as np, pyarrow.parquet as pq
from transforms.lib import uids
files = sorted(glob.glob(sys.argv[1] + '/columns/clip_l14/*.parquet'))
scores = [pq.read_table(f, columns=['score'])['score'].to_numpy() for f in files]
every = np.concatenate(scores)
keep = int(0.3 * len(every) + 0.5)
bound = np.partition(every, len(every) - keep)[len(every) - keep]
parts = []
for f, s in zip(files, scores):
    column = pq.read_table(f.replace('clip_l14', 'index'), columns=['uid'])['uid'].filter(s >= bound)
    parts.append(np.frombuffer(bytes.fromhex(''.join(column.to_pylist())), '>u8').reshape(-1, 2).astype('u8'))
with open(sys.argv[2], 'wb') as file:
    uids.write_subset(file, uids.subset(np.concatenate(parts)))
"""

PANDAS = """
import glob, sys, numpy as np, pandas as pd
files = sorted(glob.glob(sys.argv[1] + '/columns/clip_l14/*.parquet'))
scores = np.concatenate([pd.read_parquet(f, columns=['score'])['score'].values for f in files])
n = int(len(scores) * 0.3)
bound = -np.sort(-scores)[n]
parts = []
for f in files:
    kept = pd.read_parquet(f.replace('clip_l14', 'index'), columns=['uid'])['uid'][
        pd.read_parquet(f, columns=['score'])['score'] >= bound]
    parts.append(np.array([(int(u[:16], 16), int(u[16:32], 16)) for u in kept], np.dtype('u8,u8')))
done = np.concatenate(parts)
done.sort()
np.save(sys.argv[2], done)
"""


APPROXIMATE = """
import glob, sys, apache_beam as beam, pyarrow.parquet as pq
from apache_beam.transforms.stats import ApproximateQuantiles
files = sorted(glob.glob(sys.argv[1] + '/columns/clip_l14/*.parquet'))
with beam.Pipeline('FnApiRunner') as pipeline:
    tables = pipeline | beam.Create(files) | beam.Map(lambda file: pq.read_table(file, columns=['score']))
    scores = tables | 'List' >> beam.Map(lambda table: table['score'].to_pylist())
    found = scores | ApproximateQuantiles.Globally(11, input_batched=True)
    found | beam.Map(lambda tenths: open(sys.argv[2], 'w').write(repr(tenths[7])))
"""


def make(folder: Path, rows: int, files: int) -> None:
    """Writes an output folder as an import leaves it: per shard index, counts, language and one score."""
    store = Store(str(folder))
    random = np.random.default_rng(0)
    shards = []
    for number in range(files):
        n = rows // files
        name = f"{number:05d}"
        shards.append({"name": name, "uri": f"{folder}/none/{name}.tar", "size": 0, "stamp": name})
        texts = pa.array(CAPTIONS).take(pa.array(random.integers(0, len(CAPTIONS), n)))
        digits = random.bytes(16 * n).hex()
        empty = pa.array([""]).take(pa.array(np.zeros(n, np.int64)))
        sizes = pa.array(random.integers(100, 1000, n).astype(np.int32))
        values = {
            "uid": pa.array([digits[at : at + 32] for at in range(0, 32 * n, 32)]), "caption": texts,
            "status": pa.array([columns.OK]).take(pa.array(np.zeros(n, np.int64))),
        }  # fmt: skip
        for field in columns.INDEX_SCHEMA:
            default = empty if pa.types.is_string(field.type) else sizes.cast(field.type)
            values.setdefault(field.name, default)
        index = pa.Table.from_arrays([values[f.name] for f in columns.INDEX_SCHEMA], schema=columns.INDEX_SCHEMA)
        store.write(columns.INDEX, name, index, name)
        score = pa.table({"score": random.normal(0.2, 0.06, n).astype(np.float32)})
        store.write("clip_l14", name, score, name)
        counts = {"words": pa.array(random.integers(1, 12, n).astype(np.int32)),
                  "characters": pa.array(random.integers(1, 80, n).astype(np.int32))}  # fmt: skip
        store.write("caption", name, pa.table(counts), name)
        label = pa.array(["en", "de"]).take(pa.array(random.integers(0, 2, n)))
        store.write("language", name, pa.table({"label": label}), name)
    from beam_pipelines import workspace

    workspace.write_pool(str(folder), [Shard(**shard) for shard in shards])
    workspace.write_run(str(folder), {"pool": {"input": ["none"]}, "jobs": {}})


def timed(name: str, command: list[str], rows: int) -> None:
    """Runs a command and prints wall seconds, CPU seconds, peak memory and rows per CPU second."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    assert status == 0, command
    print(f"{name:<44}{wall:>8.1f}{cpu:>8.1f}{usage.ru_maxrss / 1000:>9.0f}{rows / cpu / 1e6:>10.2f}", flush=True)


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_800_000)
    parser.add_argument("--files", type=int, default=26)
    parser.add_argument("--folder", help="keep the pool here, and use it when it is there")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(told.folder or temporary)
        if not (folder / "pool.parquet").exists():
            folder.mkdir(parents=True, exist_ok=True)
            code = "import sys; from pathlib import Path; from benchmarks.select import make; "  # a child reports its
            code += f"make(Path(sys.argv[1]), {told.rows}, {told.files})"  # parent's peak memory when that is larger
            subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
        select = [sys.executable, "-m", "beam_pipelines.select", "--output", str(folder), "--recipe"]
        print(f"{told.rows:,} rows in {told.files} files")
        print(f"{'':<44}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'Mrows/s':>10}")
        timed("winnow --dry_run: start-up", [*select, "clip_score", "--dry_run"], told.rows)
        timed("winnow select --recipe clip_score", [*select, "clip_score"], told.rows)
        counts = json.loads((folder / "books.json").read_text())
        timed("numpy, one plain process", [sys.executable, "-c", NUMPY, str(folder), f"{temporary}/n.npy"], told.rows)
        timed("pandas, the field's way", [sys.executable, "-c", PANDAS, str(folder), f"{temporary}/p.npy"], told.rows)
        timed("winnow select --recipe basic_filter", [*select, "basic_filter"], told.rows)
        timed("winnow select --recipe clip_score, again", [*select, "clip_score"], told.rows)
        ours, theirs = np.load(folder / "subset.npy"), np.load(f"{temporary}/p.npy")
        assert (ours == theirs).all(), "rule: datacomp is the published rule"
        command = [sys.executable, "-c", APPROXIMATE, str(folder), f"{temporary}/a.txt"]
        timed("Beam's ApproximateQuantiles, alone", command, told.rows)
        bound = float(Path(f"{temporary}/a.txt").read_text())
        scores = [
            Store(str(folder)).read("clip_l14", p.stem)["score"].to_numpy() for p in folder.glob("columns/index/*")
        ]
        print(f"ApproximateQuantiles would keep {sum(int((part >= bound).sum()) for part in scores):,}")
        print(f"kept {counts['kept']:,} ({len(np.load(f'{temporary}/n.npy')):,} by the exact rule)")
        uids.check_subset(ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
