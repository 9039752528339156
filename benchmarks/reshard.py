"""Resharding beside its limit and a peer: 15 % of a pool, by a subset file, from raw tars and from an index.

python -m benchmarks.reshard [--samples 40000] [--shards 8] [--bytes 35000] [--resharder PYTHON RESHARDER.PY]

``--resharder`` adds DataComp's (github.com/mlfoundations/datacomp, resharder.py) with two workers, under a Python that
has its packages (webdataset 0.2.31, img2dataset 1.47.0, cloudpathlib, pysimdjson, tqdm, opencv-python-headless).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import spent
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

LOOP = """
import glob, sys, numpy as np, webdataset
kept = {f'{int(a):016x}{int(b):016x}' for a, b in np.load(sys.argv[2])}
with webdataset.ShardWriter(sys.argv[3] + '/%08d.tar', maxcount=10000, verbose=0) as sink:
    for sample in webdataset.WebDataset(sorted(glob.glob(sys.argv[1] + '/*.tar')), shardshuffle=False):
        import json
        uid = json.loads(sample['json'])['uid']
        if uid in kept:
            sink.write({**sample, '__key__': uid + '-0'})
"""


def make(folder: Path, samples: int, shards: int, size: int) -> Path:
    """Writes the pool and ``subset.npy`` with 15 % of its uids; returns the latter's path."""
    random = np.random.default_rng(0)
    noise = random.bytes(2 * size)
    listed = []
    for shard in range(shards):
        with (folder / f"{shard:08d}.tar").open("wb") as tar:
            for row in range(samples // shards):
                uid = f"{random.integers(2**62):016x}{random.integers(2**62):016x}"
                start = int(random.integers(size))
                about = json.dumps({"uid": uid, "caption": "a thing"}).encode()
                for extension, data in (("jpg", noise[start : start + size]), ("json", about), ("txt", b"a thing")):
                    tar.write(write_member(f"{shard:05d}{row:06d}.{extension}", data))
                if random.random() < 0.15:
                    listed.append(uid)
            tar.write(END_OF_ARCHIVE)
        (folder / f"{shard:08d}_stats.json").write_text(json.dumps({"successes": samples // shards}))
    path = folder / "subset.npy"
    with path.open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs(listed)))
    return path


def timed(name: str, command: list[str]) -> None:
    """Runs a command and prints wall seconds, CPU seconds and peak memory."""
    wall, cpu, peak = spent(command)
    print(f"{name:<52}{wall:>8.1f}{cpu:>8.1f}{peak:>9.0f}", flush=True)


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40_000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--bytes", type=int, default=35_000)
    parser.add_argument("--resharder", nargs=2, metavar=("PYTHON", "SCRIPT"))
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, tiny = Path(name) / "pool", Path(name) / "tiny"
        folder.mkdir()
        tiny.mkdir()
        subset, few = make(folder, told.samples, told.shards, told.bytes), make(tiny, 8, 1, told.bytes)
        print(f"{'':<52}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}")
        reshard = [sys.executable, "-m", "beam_pipelines.reshard", "--subset"]
        to, to_tiny = ["--output", f"{name}/out"], ["--output", f"{name}/tiny-out"]
        timed("import apache_beam", [sys.executable, "-c", "import apache_beam"])
        timed("the same with 8 samples: start-up, raw tars", [*reshard, str(few), *to_tiny, "--input", f"{tiny}/*.tar"])
        timed("the same with 8 samples: start-up, index at hand", [*reshard, str(few), *to_tiny, "--shuffle_seed", "1"])
        timed("winnow reshard, raw tars", [*reshard, str(subset), *to, "--input", f"{folder}/*.tar"])
        timed("winnow reshard, index at hand", [*reshard, str(subset), *to, "--shuffle_seed", "1"])
        timed("cp of the kept bytes (the limit)", ["cp", "-r", f"{name}/out/shards", f"{name}/copy"])
        (Path(name) / "loop").mkdir()
        loop = [sys.executable, "-c", LOOP, str(folder), str(subset), f"{name}/loop"]
        timed("webdataset: read, filter, write", loop)
        if told.resharder:
            flags = ["-i", str(folder), "-o", f"{name}/theirs", "-s", str(subset), "-j", "2"]
            timed("DataComp's resharder, 2 workers", [*told.resharder, *flags])
    return 0


if __name__ == "__main__":
    sys.exit(main())
