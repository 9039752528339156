"""Selecting the top 30 % of a pool of DataComp's schema, from Parquet to subset.npy, beside numpy and the field's way.

python -m benchmarks.select [--rows 12800000] [--files 26]

The peers read the same Parquet files. "numpy" is one plain process: partition, then sort the kept uids.
"pandas" is how the published script does it: whole columns, a full sort, uids parsed one by one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.timing import spent
from transforms.lib import uids
from transforms.outputs.store import Store

L14 = "clip_l14_similarity_score"
CAPTIONS = [
    "a photo of a dog",
    "Stock Photo",
    "IMG_0042.JPG",
    "Red shoes, size 42, new in box",
    "la maison bleue au bord",
]

NUMPY = """
L14 = "clip_l14_similarity_score"
import glob, sys, numpy as np, pyarrow.parquet as pq
from transforms.lib import uids
files = sorted(glob.glob(sys.argv[1] + '/metadata/*.parquet'))
scores = [pq.read_table(f, columns=[L14])[L14].to_numpy() for f in files]
every = np.concatenate(scores)
keep = int(0.3 * len(every) + 0.5)
bound = np.partition(every, len(every) - keep)[len(every) - keep]
parts = []
for f, s in zip(files, scores):
    column = pq.read_table(f, columns=['uid'])['uid'].filter(s >= bound)
    parts.append(np.frombuffer(bytes.fromhex(''.join(column.to_pylist())), '>u8').reshape(-1, 2).astype('u8'))
with open(sys.argv[2], 'wb') as file:
    uids.write_subset(file, uids.subset(np.concatenate(parts)))
"""

PANDAS = """
L14 = "clip_l14_similarity_score"
import glob, sys, numpy as np, pandas as pd
files = sorted(glob.glob(sys.argv[1] + '/metadata/*.parquet'))
scores = np.concatenate([pd.read_parquet(f, columns=[L14])[L14].values for f in files])
n = int(len(scores) * 0.3)
bound = -np.sort(-scores)[n]
parts = []
for f in files:
    table = pd.read_parquet(f, columns=['uid', L14])
    kept = table['uid'][table[L14] >= bound]
    parts.append(np.array([(int(u[:16], 16), int(u[16:32], 16)) for u in kept], np.dtype('u8,u8')))
done = np.concatenate(parts)
done.sort()
np.save(sys.argv[2], done)
"""


APPROXIMATE = """
L14 = "clip_l14_similarity_score"
import glob, sys, apache_beam as beam, pyarrow.parquet as pq
from apache_beam.transforms.stats import ApproximateQuantiles
files = sorted(glob.glob(sys.argv[1] + '/metadata/*.parquet'))
with beam.Pipeline('FnApiRunner') as pipeline:
    tables = pipeline | beam.Create(files) | beam.Map(lambda file: pq.read_table(file, columns=[L14]))
    scores = tables | 'List' >> beam.Map(lambda table: table[L14].to_pylist())
    found = scores | ApproximateQuantiles.Globally(11, input_batched=True)
    found | beam.Map(lambda tenths: open(sys.argv[2], 'w').write(repr(tenths[7])))
"""


SCHEMA = pa.schema(
    [
        ("uid", pa.string()), ("url", pa.string()), ("text", pa.string()), ("original_width", pa.int64()),
        ("original_height", pa.int64()), ("clip_b32_similarity_score", pa.float32()),
        ("clip_l14_similarity_score", pa.float32()), ("face_bboxes", pa.list_(pa.list_(pa.float64()))),
        ("sha256", pa.string()),
    ]
)  # fmt: skip


def hexes(random: np.random.Generator, count: int, digits: int) -> pa.Array:
    """Returns text of random hex digits."""
    text = pa.py_buffer(random.bytes(count * digits // 2).hex().encode())
    offsets = pa.py_buffer(np.arange(0, (count + 1) * digits, digits, dtype=np.int32))
    return pa.StringArray.from_buffers(count, offsets, text)


def make(folder: Path, rows: int, files: int) -> None:
    """Writes DataComp's metadata."""
    random = np.random.default_rng(0)
    (folder / "metadata").mkdir(parents=True)
    for number in range(files):
        n = rows // files
        empty = pa.ListArray.from_arrays(pa.array(np.zeros(n + 1, np.int32)), pa.array([], pa.list_(pa.float64())))
        columns = [
            hexes(random, n, 32), pa.repeat(pa.scalar("https://example.com/image.jpg"), n),
            pa.array(CAPTIONS).take(pa.array(random.integers(0, len(CAPTIONS), n))),
            pa.array(random.integers(100, 1000, n)), pa.array(random.integers(100, 1000, n)),
            pa.array(random.normal(0.3, 0.05, n).astype(np.float32)),
            pa.array(random.normal(0.2, 0.06, n).astype(np.float32)), empty, hexes(random, n, 64),
        ]  # fmt: skip
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        pq.write_table(table, folder / "metadata" / f"{number:05d}.parquet", row_group_size=1 << 16)


def annotate(folder: Path, rows: int, files: int) -> None:
    """Writes the column sets that ``basic_filter`` reads, as ``winnow annotate`` does; of random values."""
    random = np.random.default_rng(1)
    for number in range(files):
        n = rows // files
        counts = {"words": pa.array(random.integers(1, 12, n).astype(np.int32)),
                  "characters": pa.array(random.integers(1, 80, n).astype(np.int32))}  # fmt: skip
        Store(str(folder)).write("caption", f"{number:05d}", pa.table(counts), "made")
        label = pa.array(["en", "de"]).take(pa.array(random.integers(0, 2, n)))
        Store(str(folder)).write("language", f"{number:05d}", pa.table({"label": label}), "made")


def timed(name: str, command: list[str], rows: int) -> None:
    """Runs a command and prints wall seconds, CPU seconds, peak memory and rows per CPU second."""
    wall, cpu, peak = spent(command)
    print(f"{name:<44}{wall:>8.1f}{cpu:>8.1f}{peak:>9.0f}{rows / cpu / 1e6:>10.2f}", flush=True)


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12_800_000)
    parser.add_argument("--files", type=int, default=26)
    parser.add_argument("--folder", help="keep the pool here, and use it when it is there")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(told.folder or temporary)
        out = folder / "out"
        if not (folder / "metadata").exists():
            folder.mkdir(parents=True, exist_ok=True)
            code = "import sys; from pathlib import Path; from benchmarks.select import make; "  # a child reports its
            code += f"make(Path(sys.argv[1]), {told.rows}, {told.files})"  # parent's peak memory when that is larger
            subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
        job = [sys.executable, "-m", "beam_pipelines.cli"]
        select = [*job, "select", "--output", str(out), "--set", "top_fraction.column=" + L14, "--recipe"]
        basic = [*job, "select", "--output", str(out), "--recipe", "basic_filter"]
        print(f"{told.rows:,} rows in {told.files} files")
        print(f"{'':<44}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'Mrows/s':>10}")
        command = [*job, "import-datacomp", "--input", str(folder / "metadata"), "--output", str(out)]
        timed("winnow import-datacomp", command, told.rows)
        annotate(out, told.rows, told.files)
        timed("winnow --dry_run: start-up", [*select, "clip_score", "--dry_run"], told.rows)
        timed("winnow select --recipe clip_score", [*select, "clip_score"], told.rows)
        counts = json.loads((out / "books.json").read_text())
        timed("numpy, one plain process", [sys.executable, "-c", NUMPY, str(folder), f"{temporary}/n.npy"], told.rows)
        timed("pandas, the field's way", [sys.executable, "-c", PANDAS, str(folder), f"{temporary}/p.npy"], told.rows)
        timed("winnow select --recipe basic_filter", basic, told.rows)
        timed("winnow select --recipe clip_score, again", [*select, "clip_score"], told.rows)
        ours, theirs = np.load(out / "subset.npy"), np.load(f"{temporary}/p.npy")
        assert (ours == theirs).all(), "rule: datacomp is the published rule"
        command = [sys.executable, "-c", APPROXIMATE, str(folder), f"{temporary}/a.txt"]
        timed("Beam's ApproximateQuantiles, alone", command, told.rows)
        bound = float(Path(f"{temporary}/a.txt").read_text())
        scores = [pq.read_table(path, columns=[L14])[L14].to_numpy() for path in folder.glob("metadata/*")]
        print(f"ApproximateQuantiles would keep {sum(int((part >= bound).sum()) for part in scores):,}")
        print(f"kept {counts['kept']:,} ({len(np.load(f'{temporary}/n.npy')):,} by the exact rule)")
        uids.check_subset(ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
