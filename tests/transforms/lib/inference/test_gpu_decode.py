"""Decoding and resizing as a GPU does it, run by torch on a CPU: close to `exact`, with the CPU's way for the rest."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from tests.transforms.lib.models.test_preprocessing import FILES, LONGEST, SHORTEST, SQUASH, encoded, smooth
from transforms.lib.errors import InputError
from transforms.lib.inference import gpu_decode, prefetch, scoring
from transforms.lib.inference.gpu_decode import DeviceDecoder
from transforms.lib.models import clip, preprocessing, resolve
from transforms.lib.samples import phash
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar.shard_samples import RawSample


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture(scope="module")
def decoder(pool):
    return DeviceDecoder("cpu", pool)


def photo(seed, size=(640, 480)):
    noise = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(smooth(*size, seed).convert("RGB")) + noise, 0, 255).astype(np.uint8))


def jpegs(count):
    return [encoded(photo(n, (300 + 40 * n, 500 - 20 * n)), "JPEG", quality=85) for n in range(count)]


@pytest.mark.parametrize("preprocess", [SHORTEST, LONGEST, SQUASH], ids=["shortest", "longest", "squash"])
def test_pixels_are_close_to_exact_and_size_and_hash_are_known(decoder, preprocess):
    exact, there = (preprocessing.view(preprocess, 224, variant) for variant in ("exact", "gpu"))
    data = jpegs(5)
    futures = [decoder.submit(one, ReadRules(), [there]) for one in data]
    for one, future in zip(data, futures, strict=True):
        done, expected = future.result(), prefetch.decode(one, ReadRules(), [exact])
        assert (done.width, done.height, done.error) == (expected.width, expected.height, None)
        difference = np.abs(done.pixels[0].astype(int) - expected.pixels[0])
        assert done.pixels[0].shape == (224, 224, 3)
        assert difference.mean() < 0.5
        assert difference.max() <= 8
        assert (done.phash ^ expected.phash).bit_count() <= 4


def test_embeddings_and_scores_are_close_to_exact(decoder, pool, tiny_network):
    data = jpegs(8)

    def samples():
        for n, one in enumerate(data):
            yield RawSample(f"k{n}", 512 * n, 512, {"jpg": one, "txt": f"thing {n}".encode()}, None, "")

    found = []
    for variant, start in (("exact", None), ("gpu", decoder.submit)):
        spec = resolve.resolve(resolve.parse_model(str(tiny_network)), variant=variant)
        models = {"m": clip.load(spec, batch_size=4)}
        found.append(scoring.score_samples(samples(), models, ReadRules(), pool, 4, start=start))
    one, two = (scored.sets["m"]["score"].to_numpy() for scored in found)
    assert not np.array_equal(one, two)
    np.testing.assert_allclose(one, two, atol=5e-3)


def test_one_decode_serves_several_views(decoder):
    views = [preprocessing.view(SHORTEST, size, "gpu") for size in (224, 96)]
    alone = [decoder.submit(jpegs(1)[0], ReadRules(), [view]).result().pixels[0] for view in views]
    both = decoder.submit(jpegs(1)[0], ReadRules(), views).result().pixels
    assert all(np.array_equal(one, two) for one, two in zip(alone, both, strict=True))


@pytest.mark.parametrize("name", FILES)
def test_every_other_file_is_decoded_as_by_a_cpu(decoder, name):
    view = preprocessing.view(SHORTEST, 32, "gpu")
    done, expected = (
        decoder.submit(FILES[name], ReadRules(), [view]).result(),
        prefetch.decode(FILES[name], ReadRules(), [view]),
    )
    assert (done.width, done.height, done.error) == (expected.width, expected.height, None)
    difference = np.abs(done.pixels[0].astype(int) - expected.pixels[0])
    plain = (name.startswith("jpeg") and "cmyk" not in name) or name == "1 x 1"
    assert difference.max() <= (4 if plain else 0)


def test_what_a_cpu_rejects_is_rejected(decoder):
    whole = jpegs(1)[0]
    view = preprocessing.view(SHORTEST, 224, "gpu")
    for data, rules in (
        (whole[:-500], ReadRules()),
        (whole[:200], ReadRules()),
        (b"no image", ReadRules()),
        (whole, ReadRules(max_pixels=1000)),
    ):
        done, expected = decoder.submit(data, rules, [view]).result(), prefetch.decode(data, rules, [view])
        assert done.error is not None
        assert (done.error.reason, done.error.detail) == (expected.error.reason, expected.error.detail)


def test_one_that_the_device_refuses_goes_to_the_cpu_and_the_others_do_not(pool, monkeypatch):
    refused = jpegs(3)[1]
    whole = gpu_decode._decoded
    on_device = []

    def picky(data, device):
        if refused in data:
            raise RuntimeError("nvjpegDecode failed: 5")
        on_device.extend(data)
        return whole(data, device)

    monkeypatch.setattr(gpu_decode, "_decoded", picky)
    decoder = DeviceDecoder("cpu", pool)
    gate = threading.Event()
    pool.submit(gate.wait)
    view = preprocessing.view(SHORTEST, 64, "gpu")
    futures = [decoder.submit(one, ReadRules(), [view]) for one in jpegs(3)]
    gate.set()
    done = [future.result(20) for future in futures]
    assert [one.error for one in done] == [None] * 3
    assert jpegs(3)[0] in on_device
    assert jpegs(3)[2] in on_device
    assert np.array_equal(done[1].pixels[0], prefetch.decode(refused, ReadRules(), [view]).pixels[0])


def test_a_torchvision_that_cannot_is_said_at_the_start(pool):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match="--preprocess gpu: torchvision cannot decode on cuda"):
        DeviceDecoder("cuda", pool)


def test_the_hash_of_a_squeezed_image_is_near_that_of_the_whole():
    for n in range(6):
        image = photo(n)
        small = image.resize((gpu_decode._SMALL, gpu_decode._SMALL), Image.Resampling.BILINEAR)
        assert (phash.phash(image) ^ phash.phash(small)).bit_count() <= 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_decodes_close_to_exact(pool):
    decoder = DeviceDecoder("cuda", pool)
    exact, there = (preprocessing.view(SHORTEST, 224, variant) for variant in ("exact", "gpu"))
    for one in jpegs(5):
        done = decoder.submit(one, ReadRules(), [there]).result()
        expected = exact.pixels(Image.open(io.BytesIO(one)))
        assert done.pixels[0].is_cuda
        assert np.abs(done.pixels[0].cpu().numpy().astype(int) - expected).mean() < 1
