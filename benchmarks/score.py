"""Scoring beside its limit, the same towers fed from memory with ready tensors, and beside clip-retrieval.

python -m benchmarks.score [--model ViT-S-32-alt] [--clip-retrieval PYTHON] [--shards 8] [--rows 250]

The weights are random and seeded. CPU seconds count on a busy machine; wall seconds are for an idle one.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks import scorepool
from transforms.lib import columns, modelspec

LIMIT = """
import glob, json, resource, sys, time, numpy as np
from transforms.lib import captions, clip, images, modelspec, tarshard
spec = modelspec.resolve(modelspec.parse_model(sys.argv[2]))
model = clip.load(spec, batch_size=8, precision=sys.argv[3], threads=int(sys.argv[4]) or None)
pixels, texts, numbers = [], [], {}
for path in sorted(glob.glob(sys.argv[1])):
    tokens = []
    for sample in tarshard.read_samples(open(path, 'rb')):
        tokens.append(captions.caption_of(sample.members))
        if len(pixels) < 256:
            pixels.append(model.pixels(images.decode(images.image_of(sample.members)[1])))
    texts.append((len(tokens), model.tokens(list(dict.fromkeys(tokens)))))
pixels = np.stack(pixels)
model.embed_images(pixels[:8])
start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
for count, tokens in texts:
    for first in range(0, count, 8):
        model.embed_images(pixels[first % 256 :][: min(8, count - first)])
    model.embed_tokens([tokens])
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({'wall': time.perf_counter() - start, 'cpu': cpu}))
"""
DIRECT = """
import io, json, sys, numpy as np, open_clip, torch
from PIL import Image
from transforms.lib.tarshard import read_samples
network, _, transform = open_clip.create_model_and_transforms(sys.argv[2], sys.argv[3])
tokenize, found = open_clip.get_tokenizer(sys.argv[2]), []
with torch.inference_mode():
    for sample, _ in zip(read_samples(open(sys.argv[1], 'rb')), range(32)):
        image = transform(Image.open(io.BytesIO(sample.members['jpg'])))[None]
        text = tokenize([sample.members['txt'].decode()])
        pair = network.eval().encode_image(image, normalize=True), network.encode_text(text, normalize=True)
        found.append(torch.cat(pair).tolist())
print(json.dumps(found))
"""
DECODE = """
import glob, json, resource, sys, time
from transforms.lib import images, modelspec, pixelviews
from transforms.lib.tarshard import read_samples
variant = sys.argv[2]
def seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)
if variant == 'loader':
    import open_clip, webdataset
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torch.utils.data import DataLoader
    transform = image_transform_v2(PreprocessCfg(size=224), is_train=False)
    pool = webdataset.WebDataset(sorted(glob.glob(sys.argv[1])), shardshuffle=False).decode('pil')
    loader = DataLoader(pool.to_tuple('jpg').map_tuple(transform), batch_size=64, num_workers=2)
    before, count = seconds(), sum(len(batch[0]) for batch in loader)
else:
    view = pixelviews.view(dict(modelspec.PREPROCESS), 224, variant)
    before, count = seconds(), 0
    for path in sorted(glob.glob(sys.argv[1])):
        for sample in read_samples(open(path, 'rb')):
            data = sample.members['jpg']
            view.pixels(images.decode_scaled(data, view.least)[0] if view.scaled else images.decode(data))
            count += 1
print(json.dumps(count / (seconds() - before)))
"""
COLUMNS = f"{'':<52}{'wall s':>9}{'CPU s':>9}{'CPU s / 1,000':>15}{'peak MB':>9}"


def measured(command: list[str], **more: str) -> tuple[float, float, float, str]:
    """Runs a command; returns wall seconds, CPU seconds and peak megabytes, children included, and its output."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as sink, tempfile.TemporaryFile() as notes:
        process = subprocess.Popen(command, stdout=sink, stderr=notes, env={**os.environ, **more})
        _, status, used = os.wait4(process.pid, 0)
        sink.seek(0)
        notes.seek(0)
        text = sink.read().decode()
        if status:
            raise SystemExit(f"{shlex.join(command)[:200]} failed: {notes.read().decode()[-800:]}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, text


def line(name: str, wall: float, cpu: float, peak: float, pairs: int) -> None:
    """Prints a row of the table."""
    print(f"{name:<52}{wall:>9.1f}{cpu:>9.1f}{1000 * cpu / pairs:>15.1f}{peak:>9.0f}", flush=True)


def weights_of(arch: str, folder: Path) -> str:
    """Writes seeded random weights; returns their path."""
    path = folder / f"{arch}.pt"
    code = f"import torch, open_clip; torch.manual_seed(0); net = open_clip.create_model({arch!r})"
    measured([sys.executable, "-c", f"{code}; torch.save(net.state_dict(), {str(path)!r})"])
    return str(path)


def ours(pool: str, model: str, output: str, *flags: str) -> tuple[float, float, float, str]:
    """Runs ``winnow score``."""
    command = [sys.executable, "-m", "beam_pipelines.score", "--input", pool, "--output", output]
    return measured([*command, "--model", f"m={model}", *flags])


def same_answers(pool: str, arch: str, weights: str, output: str) -> float:
    """Returns the least cosine between our embeddings and those of open_clip called directly."""
    first = sorted(glob.glob(pool))[0]
    expected = np.array(json.loads(measured([sys.executable, "-c", DIRECT, first, arch, weights])[3]))
    table = pq.read_table(f"{output}/columns/m/{Path(first).stem}.parquet")
    found = np.stack([columns.embeddings(table[name])[: len(expected)] for name in ("image", "text")], 1)
    cosine = (found * expected).sum(2) / np.linalg.norm(found.astype(float), axis=2)
    return float(cosine.min())


def peer(python: str, pool: Path, shards: int, rows: int, arch: str, weights: str, output: str) -> list[str]:
    """Returns the command of clip-retrieval 2.45.0 for the same work."""
    braces = f"{pool}/{{{0:08d}..{shards - 1:08d}}}.tar"
    flags = {"input_format": "webdataset", "input_dataset": braces, "output_folder": output, "enable_metadata": "True"}
    flags |= {"batch_size": "64", "num_prepro_workers": "2", "wds_number_file_per_input_file": str(rows)}
    flags |= {"write_batch_size": "1000", "use_jit": "False", "clip_model": f"open_clip:{arch}/{weights}"}
    told = [part for name, value in flags.items() for part in (f"--{name}", value)]
    return [python, "-m", "clip_retrieval.cli", "inference", *told]


def race(told: argparse.Namespace, folder: Path, pool: Path) -> None:
    """Prints the table of one architecture."""
    glob_of, pairs = f"{pool}/*.tar", told.shards * told.rows
    weights = weights_of(told.model, folder)
    model = f"{told.model}@{weights}#sha256={modelspec.sha256_of(weights)}"
    print(f"{told.model}, {pairs} pairs in {told.shards} shards\n{COLUMNS}")
    cpu = {}
    threads = ("--threads", str(told.threads))
    if told.threads:
        os.environ["OMP_NUM_THREADS"] = str(told.threads)
    for name, flags in (
        ("fp32", ()),
        ("fp32, --preprocess fast", ("--preprocess", "fast")),
        ("bf16", ("--precision", "bf16")),
    ):
        output = f"{folder}/{name}"
        wall, cpu[name], peak, _ = ours(glob_of, model, output, *threads, *flags)
        line(f"winnow score, {name}, whole command", wall, cpu[name], peak, pairs)
    start = ours(f"{pool}/00000000.tar", model, f"{folder}/one", *threads)
    line("  of one shard", *start[:3], told.rows)
    for kind in ("fp32", "bf16"):
        limit = json.loads(measured([sys.executable, "-c", LIMIT, glob_of, model, kind, str(told.threads)])[3])
        line(f"towers alone, {kind}, ready tensors in memory", limit["wall"], limit["cpu"], 0, pairs)
    if told.clip_retrieval:
        command = peer(told.clip_retrieval, pool, told.shards, told.rows, told.model, weights, f"{folder}/peer")
        line("clip-retrieval 2.45.0, whole command", *measured(command, WANDB_MODE="disabled")[:3], pairs)
    print(
        f"least cosine to open_clip called directly: {same_answers(glob_of, told.model, weights, f'{folder}/fp32'):.6f}"
    )
    scores = {
        name: np.concatenate(
            [pq.read_table(p)["score"].to_numpy() for p in sorted(glob.glob(f"{folder}/{name}/columns/m/*"))]
        )
        for name in cpu
    }
    for name in list(cpu)[1:]:
        shift = np.abs(scores[name] - scores["fp32"])
        print(f"score shift of {name}: mean {shift.mean():.5f}, most {shift.max():.5f}")


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-S-32-alt", help="an architecture of open_clip")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--rows", type=int, default=250, help="pairs in a shard")
    parser.add_argument("--threads", type=int, default=0, help="of every network; 0 = all cores")
    parser.add_argument("--clip-retrieval", help="python of an environment with clip-retrieval 2.45.0")
    parser.add_argument("--decode", action="store_true", help="only time decoding, images per CPU second")
    parser.add_argument("--memory", action="store_true", help="only measure peak memory of 2 and of 20 shards")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if told.memory:
            pool = scorepool.make(folder / "pool", 20, told.rows)
            weights = weights_of(told.model, folder)
            model = f"{told.model}@{weights}#sha256={modelspec.sha256_of(weights)}"
            for shards in (2, 20):
                used = ours(f"{pool}/000000{{00..{shards - 1:02d}}}.tar", model, f"{folder}/{shards}")
                line(f"winnow score, {shards} shards", *used[:3], shards * told.rows)
            return 0
        pool = scorepool.make(folder / "pool", told.shards, told.rows)
        if told.decode:
            for variant in ("exact", "fast", "loader"):
                rate = json.loads(measured([sys.executable, "-c", DECODE, f"{pool}/*.tar", variant])[3])
                print(f"{variant:<8}{rate:>8.0f} images per CPU second", flush=True)
            return 0
        race(told, folder, pool)
    return 0


if __name__ == "__main__":
    sys.exit(main())
