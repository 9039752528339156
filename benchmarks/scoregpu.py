"""Scoring on a GPU: pairs per second end to end, as a share of the matrix products that the GPU can do.

python -m benchmarks.scoregpu [--model ViT-L-14 --model ViT-B-32 --model ViT-H-14] [--preprocess gpu] [--threads 3]

Random seeded weights; the shards lie in memory (/dev/shm). The ceiling is measured in the same call: products of
square matrices in the same precision. So is the pace of the towers alone, fed from memory with ready pixels and tokens:
what the whole command is slower by is lost to reading and decoding. GPU busy is the union of the time of all streams
(networks, captions and, with ``--preprocess gpu``, decoding), a moment counted once however many work in it.
``--device cpu`` tries the command out where there is no GPU; there GPU busy is 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import scoreparts, scorepool
from transforms.lib.inference import gpu_decode, scoring
from transforms.lib.inference.timing import Clock
from transforms.lib.models import clip, resolve
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar.shard_samples import read_samples

MODELS = ("ViT-L-14", "ViT-B-32", "ViT-H-14")
KINDS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def ceiling(device: str, precision: str) -> float:
    """Returns the floating point operations a second of products of square matrices."""
    import torch

    side = 8192 if device == "cuda" else 1024
    one = torch.randn(side, side, device=device, dtype=getattr(torch, KINDS[precision]))

    def product() -> None:
        for _ in range(10):
            one @ one
        if device == "cuda":
            torch.cuda.synchronize()

    product()
    return 10 * 2 * side**3 / min(scoreparts.timed(product)[0] for _ in range(3))


def operations(model: clip.ClipModel, captions: list[str]) -> float:
    """Returns the floating point operations of a pair: an image, and a caption as it is cut."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = dataclasses.replace(model, _workers=None)  # the counter sees its own thread alone
    side = model.pixels(scorepool_image()).shape
    torch.backends.mha.set_fastpath_enabled(False)  # its kernel is not counted
    with FlopCounterMode(display=False) as image:
        model.embed_images(np.zeros((model._batch_size, *side), np.uint8))
    with FlopCounterMode(display=False) as text:
        model.embed_texts(captions)
    torch.backends.mha.set_fastpath_enabled(True)
    return float(image.get_total_flops() / model._batch_size + text.get_total_flops() / len(captions))


def scorepool_image() -> Any:
    """Returns one image of the pool, opened."""
    import io

    from PIL import Image

    return Image.open(io.BytesIO(scorepool.jpeg(0)))


def run(paths: list[Path], model: clip.ClipModel, told: argparse.Namespace) -> tuple[float, Clock]:
    """Scores shards with several threads that share a model; returns the seconds, and all their clocks together."""
    turn, clocks = threading.Lock(), []
    with ThreadPoolExecutor(told.decode_threads) as pool, ThreadPoolExecutor(told.threads) as harness:
        start = None
        if told.preprocess == "gpu":
            start = gpu_decode.DeviceDecoder(told.device, pool).submit

        def score(path: Path) -> None:
            with path.open("rb") as file:
                batch, rules = told.batch_size, ReadRules(variant=told.preprocess)
                scored = scoring.score_samples(read_samples(file), {"m": model}, rules, pool, batch, turn, start)
            clocks.append(scored.clock)

        began = time.perf_counter()
        list(harness.map(score, paths))
        seconds = time.perf_counter() - began
    fields = [field.name for field in dataclasses.fields(Clock)]
    return seconds, Clock(**{name: sum(getattr(clock, name) for clock in clocks) for name in fields})


def alone(model: clip.ClipModel, told: argparse.Namespace) -> float:
    """Returns the pairs per second of the towers, fed from memory with as many ready pairs as a shard has."""
    import numpy as np

    side = model.pixels(scorepool_image()).shape
    images = np.random.default_rng(0).integers(0, 256, (told.batch_size, *side), dtype=np.uint8)
    tokens = model.tokens([scorepool.caption(n) for n in range(told.rows)])

    def work() -> None:
        waiting = []
        for _ in range(-(-told.rows // told.batch_size)):
            waiting.append(model.start_images(images))
            if len(waiting) == model.depth:
                waiting.pop(0)()
        captions = model.start_tokens([tokens], threading.Lock())
        for result in (*waiting, captions):
            result()

    work()
    return told.rows / min(scoreparts.timed(work)[0] for _ in range(3))


def main() -> int:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="an architecture of open_clip; may be repeated")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--precision", default="fp16", choices=tuple(KINDS))
    parser.add_argument("--preprocess", default="gpu", choices=("exact", "fast", "gpu"))
    parser.add_argument("--shards", type=int, default=16, help="at least 2; the first one warms up")
    parser.add_argument("--rows", type=int, default=2000, help="pairs in a shard")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=3, help="harness threads, which share the model")
    parser.add_argument("--decode_threads", type=int, default=16)
    told = parser.parse_args()
    top = ceiling(told.device, told.precision)
    print(f"matrix products in {told.precision} on {told.device}: {top / 1e12:.1f} TFLOP/s")
    heads = (
        "pairs/s",
        "GFLOP a pair",
        "of ceiling",
        "GPU busy",
        "towers alone",
        "lost",
        "waits for decode",
        "for read",
    )
    print(f"{'':<14}" + "".join(f"{head:>{len(head) + 2}}" for head in heads))
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        paths = sorted(scorepool.make(Path(name) / "pool", told.shards, told.rows).glob("*.tar"))
        for arch in told.model or MODELS:
            file = f"{name}/{arch}.pt"
            text = f"m={arch}@{file}#sha256={scoreparts.weights(file, arch)}"
            spec = resolve.resolve(resolve.parse_model(text), variant=told.preprocess)
            model = clip.load(spec, device=told.device, precision=told.precision, batch_size=told.batch_size)
            work = operations(model, [scorepool.caption(n) for n in range(256)])
            run(paths[:1], model, told)
            seconds, clock = run(paths[1:], model, told)
            rate, fed = (told.shards - 1) * told.rows / seconds, alone(model, told)
            shares = (clock.busy / seconds, fed, 1 - rate / fed)
            waits = (clock.decode / told.threads / seconds, clock.read / told.threads / seconds)
            values = (rate, work / 1e9, rate * work / top, *shares, *waits)
            row = (f"{value:>{len(head) + 2}.2f}" for head, value in zip(heads, values, strict=True))
            print(f"{arch:<14}" + "".join(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
