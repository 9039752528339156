"""Scoring beside its limit: the same towers fed from memory with ready tensors, no tar, no decode, no Beam.

python -m benchmarks.score [--pool 'tests/data/pool/*.tar'] [--model tinyclip]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

LIMIT = """
import glob, json, resource, sys, time, numpy as np
from transforms.lib import captions, clip, images, modelspec, tarshard
from transforms.lib.errors import SampleError
pixels, texts = [], []
model = clip.load(modelspec.resolve(modelspec.parse_model(sys.argv[2])), batch_size=8)
for path in sorted(glob.glob(sys.argv[1])):
    for sample in tarshard.read_samples(open(path, 'rb')):
        try:
            if sample.problem is None:
                caption = captions.caption_of(sample.members)
                pixels.append(model.pixels(images.decode(images.image_of(sample.members)[1])))
                texts.append(caption)
        except SampleError:
            pass
pixels = np.stack(pixels)
model.embed_images(pixels[:8])
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
image, text = model.embed_images(pixels), model.embed_texts(texts)
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({'pairs': len(texts), 'wall': time.perf_counter() - start, 'cpu': cpu, 'rss': after.ru_maxrss}))
"""


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", default="tests/data/pool/*.tar")
    parser.add_argument("--model", default="tinyclip")
    told = parser.parse_args()
    limit = json.loads(subprocess.check_output([sys.executable, "-c", LIMIT, told.pool, told.model]))
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        command = [sys.executable, "-m", "beam_pipelines.score", "--input", told.pool, "--output", f"{folder}/out"]
        subprocess.run([*command, "--model", f"m={told.model}"], check=True, capture_output=True)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        start = time.perf_counter()
        subprocess.run([*command, "--model", f"m={told.model}"], check=True, capture_output=True)
        again = time.perf_counter() - start
    print(f"{'':<44}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}{'pairs/s':>9}")
    rows = [
        ("towers alone, ready tensors in memory", limit["wall"], limit["cpu"], limit["rss"]),
        ("winnow score, whole command", wall, cpu, after.ru_maxrss),
        ("winnow score again, all shards done", again, 0.0, 0),
    ]
    for name, seconds, cpu_seconds, rss in rows:
        rate = limit["pairs"] / seconds
        print(f"{name:<44}{seconds:>8.1f}{cpu_seconds:>8.1f}{rss / 1000:>9.0f}{rate:>9.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
