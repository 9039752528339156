"""What benchmarks/score.py runs in processes of their own; each prints one line of JSON.

python -m benchmarks.scoreparts PART POOL [MODEL ...]
"""

from __future__ import annotations

import glob
import io
import itertools
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transforms.lib import stamps
from transforms.lib.models import preprocessing, resolve, trained_with
from transforms.lib.samples import captions, images
from transforms.lib.tar.shard_samples import RawSample, read_samples


def samples_of(pattern: str) -> Iterator[RawSample]:
    """Yields the samples of all shards, in order."""
    for path in sorted(glob.glob(pattern)):
        with open(path, "rb") as file:
            yield from read_samples(file)


def cpu_seconds() -> float:
    """Returns the CPU seconds of this process and of those it started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Returns the wall and CPU seconds of a piece of work."""
    start, before = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - start, cpu_seconds() - before


def steady(pattern: str, model: str, precision: str, threads: str, variant: str) -> dict[str, Any]:
    """Scores shard after shard beside its limit: the same towers, fed with the same shard's ready tensors.

    One process, one copy of the model, the two in turn, the first shard of each thrown away: what else the machine
    does hits both alike.
    """
    from transforms.lib.models import clip
    from transforms.lib.samples.index_row import ReadRules
    from transforms.shards import find_shards
    from transforms.workers.score_shard import ScoreSettings, ScoreShard

    spec = resolve.resolve(resolve.parse_model(f"m={model}"), variant=variant)
    ours, limit = [], []
    with tempfile.TemporaryDirectory() as folder:
        rules = ReadRules(variant=variant)
        settings = ScoreSettings(folder, (spec,), rules, precision=precision, threads=int(threads))
        score = ScoreShard(settings)
        models = score.load()
        towers = models.named(["m"])["m"]
        assert isinstance(towers, clip.ClipModel)
        for shard in find_shards([pattern]):
            pixels, tokens = ready(shard.uri, towers)

            def alone(pixels: Any = pixels, tokens: Any = tokens) -> None:
                towers.embed_images(pixels)
                towers.embed_tokens([tokens])

            limit.append(timed(alone))
            ours.append(timed(lambda shard=shard: score(shard, models)))  # type: ignore[misc]
    return {"ours": ours[1:], "limit": limit[1:]}


def ready(path: str, towers: Any) -> tuple[Any, Any]:
    """Returns a shard's pixels, uint8 ``[n, size, size, 3]``, and the tokens of its different captions."""
    pixels, texts = [], []
    for sample in samples_of(path):
        texts.append(captions.caption_of(sample.members))
        pixels.append(towers.pixels(images.decode(images.image_of(sample.members)[1])))
    return np.stack(pixels), towers.tokens(list(dict.fromkeys(texts)))


def bare(pattern: str, arch: str, weights: str) -> dict[str, Any]:
    """Times a loop as one would write it: open_clip, two threads that decode, batches of 64."""
    import open_clip
    import torch

    network, _, transform = open_clip.create_model_and_transforms(arch, weights)
    tokenize = open_clip.get_tokenizer(arch)
    network.eval()

    def opened(sample: RawSample) -> Any:
        return transform(Image.open(io.BytesIO(sample.members["jpg"])))

    def loop() -> None:
        samples = samples_of(pattern)
        with ThreadPoolExecutor(2) as pool, torch.inference_mode():
            following = list(itertools.islice(samples, 64))
            pending = [pool.submit(opened, sample) for sample in following]
            while following:
                batch, futures = following, pending
                following = list(itertools.islice(samples, 64))
                pending = [pool.submit(opened, sample) for sample in following]
                network.encode_image(torch.stack([future.result() for future in futures]), normalize=True)
                network.encode_text(tokenize([sample.members["txt"].decode() for sample in batch]), normalize=True)

    wall, cpu = timed(loop)
    return {"wall": wall, "cpu": cpu}


def direct(path: str, arch: str, weights: str) -> list[Any]:
    """Returns the embeddings of the first 32 pairs from open_clip, called one by one."""
    import open_clip
    import torch

    network, _, transform = open_clip.create_model_and_transforms(arch, weights)
    tokenize, found = open_clip.get_tokenizer(arch), []
    network.eval()
    with torch.inference_mode():
        for sample in itertools.islice(samples_of(path), 32):
            image = transform(Image.open(io.BytesIO(sample.members["jpg"])))[None]
            text = tokenize([sample.members["txt"].decode()])
            pair = network.encode_image(image, normalize=True), network.encode_text(text, normalize=True)
            found.append(torch.cat(pair).tolist())
    return found


def decoding(pattern: str, variant: str) -> dict[str, Any]:
    """Times decoding and resizing to 224 px: a variant, or ``loader``, webdataset in a DataLoader with 2 workers."""
    count = 0

    def by_loader() -> None:
        nonlocal count
        import webdataset
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from torch.utils.data import DataLoader

        transform = image_transform_v2(PreprocessCfg(size=224), is_train=False)
        pool = webdataset.WebDataset(sorted(glob.glob(pattern)), shardshuffle=False).decode("pil")
        loader = DataLoader(pool.to_tuple("jpg").map_tuple(transform), batch_size=64, num_workers=2)
        count = sum(len(batch[0]) for batch in loader)

    def by_view() -> None:
        nonlocal count
        view = preprocessing.view(dict(trained_with.PREPROCESS), 224, variant)

        def pixels(sample: RawSample) -> None:
            data = sample.members["jpg"]
            view.pixels(images.decode_scaled(data, view.least)[0] if view.scaled else images.decode(data))

        with ThreadPoolExecutor(2) as pool:
            count = sum(1 for _ in pool.map(pixels, samples_of(pattern)))

    if variant == "loader":
        import open_clip  # noqa: F401  imported before the clock runs, as in the other variants
        import webdataset  # noqa: F401
    else:
        preprocessing.view(dict(trained_with.PREPROCESS), 224, variant)
    wall, cpu = timed(by_loader if variant == "loader" else by_view)
    return {"images": count, "wall": wall, "cpu": cpu}


def weights(path: str, arch: str) -> str:
    """Writes seeded random weights of an architecture; returns their sha256."""
    import open_clip
    import torch

    torch.manual_seed(0)
    torch.save(open_clip.create_model(arch).state_dict(), path)
    return stamps.sha256_of(str(Path(path)))


PARTS = {"steady": steady, "bare": bare, "direct": direct, "decoding": decoding, "weights": weights}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
