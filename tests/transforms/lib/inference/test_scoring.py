"""Scoring one shard: nothing is done twice, nothing depends on threads, and memory is bounded."""

import dataclasses
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import picture
from tests.transforms.lib.thread_streams import ThreadStream
from transforms.lib.columnstore import columns
from transforms.lib.devices.cuda_streams import Gpu
from transforms.lib.devices.staging import RowLimit
from transforms.lib.inference import prefetch, scoring
from transforms.lib.inference.timing import Clock, sentence
from transforms.lib.models import clip, preprocessing, resolve, trained_with
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar.shard_samples import RawSample


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(3) as threads:
        yield threads


@pytest.fixture
def model(tiny_network):
    return clip.load(resolve.resolve(resolve.parse_model(str(tiny_network))), batch_size=4, threads=1)


def samples(seeds, captions=None):
    for row, seed in enumerate(seeds):
        text = f"number {seed}" if captions is None else captions[row]
        image = b"\xff\xd8\xff broken" if seed < 0 else picture(seed)
        yield RawSample(f"k{row}", 512 * row, 512, {"jpg": image, "txt": text.encode()}, None, "")


def score(model, pool, *args, **more):
    return scoring.score_samples(samples(*args), {"m": model}, ReadRules(), pool, 4, **more)


def test_equal_images_and_captions_are_embedded_once_and_scored_alike(model, pool, monkeypatch):
    seen = []
    encode = model.network.encode_image
    monkeypatch.setattr(model.network, "encode_image", lambda x, normalize: seen.append(len(x)) or encode(x, normalize))
    tokenized = []
    tokens = model.tokens
    monkeypatch.setattr(model, "tokens", lambda texts: tokenized.extend(texts) or tokens(texts))
    seeds = [1, 2, 1, -1, 3, -1, 2, 4, 1]
    captions = ["a", "b", "a", "c", "a", "c", "d", "b", "d"]
    found = score(model, pool, seeds, captions)
    assert seen == [4]
    assert sorted(tokenized) == ["a", "b", "d"]
    assert found.repeated == 3
    image = columns.embeddings(found.sets["m"]["image"])
    assert np.array_equal(image[0], image[2])
    assert np.array_equal(image[0], image[8])
    assert np.array_equal(image[1], image[6])
    assert not np.array_equal(image[0], image[1])
    index = found.index.to_pylist()
    assert [row["status"] for row in index] == ["image_undecodable" if seed < 0 else "ok" for seed in seeds]
    assert (index[2]["width"], index[2]["height"]) == (50, 40)
    scores = found.sets["m"]["score"].to_pylist()
    for row, (seed, caption) in enumerate(zip(seeds, captions, strict=True)):
        if seed >= 0:
            alone = score(model, pool, [seed], [caption]).sets["m"]["score"][0].as_py()
            assert scores[row] == pytest.approx(alone, abs=2e-6)


@pytest.mark.parametrize("threads", [1, 5])
def test_a_shard_scores_alike_to_the_bit_whatever_the_threads(model, pool, threads):
    seeds = [n % 17 for n in range(40)]
    with ThreadPoolExecutor(threads) as other:
        one, two = score(model, pool, seeds), score(model, other, seeds)
    assert one.index.equals(two.index)
    assert one.sets["m"].equals(two.sets["m"])


def test_a_device_that_works_later_gives_the_same_and_is_never_waited_for_in_turn(model, pool):
    """The whole way of a GPU with streams that are threads: ring, captions, and three shards at once."""

    class Watched(threading.local):
        held = False

    watched, turn = Watched(), threading.Lock()

    class Turn:
        def __enter__(self):
            turn.acquire()
            watched.held = True

        def __exit__(self, *_):
            watched.held = False
            turn.release()

    class Span:
        def __init__(self, span):
            self.future, self.seconds = span.future, span.seconds

        def wait(self):
            assert not watched.held or self.future.done()
            self.future.result(20)

    class Lane(ThreadStream):
        def queue(self, work, after=()):
            return Span(super().queue(work, after))

    expected = score(model, pool, range(20))
    there = dataclasses.replace(model, _gpu=Gpu("cpu", Lane(), Lane(), Lane(), pinned=False), _workers=None)
    with ThreadPoolExecutor(3) as harness:
        found = list(harness.map(lambda _: score(there, pool, range(20), turn=Turn()), range(3)))
    for one in found:
        assert one.index.equals(expected.index)
        assert one.sets["m"].equals(expected.sets["m"])
        assert one.clock.busy == 5 + 1  # batches of images and of captions, a second each


def test_threads_that_share_a_model_take_turns(model, pool, monkeypatch):
    turn, inside, most = threading.Lock(), [], []
    encode = model.network.encode_image

    def watched(x, normalize):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return encode(x, normalize)

    monkeypatch.setattr(model.network, "encode_image", watched)
    expected = score(model, pool, range(20)).sets["m"]
    with ThreadPoolExecutor(3) as harness:
        found = list(harness.map(lambda _: score(model, pool, range(20), turn=turn), range(3)))
    assert max(most) == 1
    assert all(one.sets["m"].equals(expected) for one in found)


def test_one_decode_serves_networks_that_see_alike(tiny_network, model, pool, monkeypatch):
    other = clip.load(resolve.resolve(resolve.parse_model(f"b={tiny_network}")), batch_size=4)
    decoded = []
    whole = prefetch.images.decode
    monkeypatch.setattr(prefetch.images, "decode", lambda data, **more: decoded.append(1) or whole(data, **more))
    resized = []
    resize = type(model.view).pixels
    monkeypatch.setattr(type(model.view), "pixels", lambda view, image: resized.append(1) or resize(view, image))
    found = scoring.score_samples(samples(range(6)), {"a": model, "b": other}, ReadRules(), pool, 4)
    assert (len(decoded), len(resized)) == (6, 6)
    assert found.sets["a"].equals(found.sets["b"])


def test_one_tower_alone_gives_its_embeddings_and_no_score(tiny_network, model, pool, monkeypatch):
    towers = {
        part: clip.load(resolve.resolve(resolve.parse_model(f"{part}:{tiny_network}")), batch_size=4)
        for part in ("image", "text")
    }
    monkeypatch.setattr(towers["image"].network, "encode_text", None)
    monkeypatch.setattr(towers["text"].network, "encode_image", None)
    seeds = [1, -1, 2, 1]
    both = score(model, pool, seeds)
    alone = scoring.score_samples(samples(seeds), towers, ReadRules(), pool, 4)
    only_text = scoring.score_samples(samples(seeds), {"text": towers["text"]}, ReadRules(), pool, 4)
    assert alone.index.equals(both.index)
    for part in towers:
        assert alone.sets[part].column_names == [part]
        assert alone.sets[part][part].equals(both.sets["m"][part])
    assert only_text.index.equals(both.index)
    assert only_text.sets["text"].equals(alone.sets["text"])


def test_reading_runs_ahead_but_not_far(pool):
    read = []

    def watched():
        for sample in samples(range(60)):
            read.append(sample.key)
            yield sample

    fed = prefetch.prefetch_samples(watched(), ReadRules(), [], pool, 8, Clock())
    next(fed)
    time.sleep(0.5)
    assert 8 <= len(read) <= 11  # the queue, the one given out, the one waiting to enter
    fed.close()
    time.sleep(0.2)
    assert len(read) <= 11
    assert not [t for t in threading.enumerate() if t.name == "winnow-read"]


def test_encoded_bytes_in_flight_are_bounded(monkeypatch):
    size = len(picture(0))
    monkeypatch.setattr(prefetch, "AHEAD_BYTES", 3 * size)
    release, started = threading.Event(), []

    def slow(data, rules, views):
        started.append(len(data))
        release.wait(10)
        return prefetch.Decoded(1, 1)

    monkeypatch.setattr(prefetch, "decode", slow)
    with ThreadPoolExecutor(20) as threads:
        fed = prefetch.prefetch_samples(samples(range(20)), ReadRules(), [], threads, 64, Clock())
        consumer = threading.Thread(target=lambda: list(fed))
        consumer.start()
        time.sleep(0.4)
        assert sum(started) <= 3 * size + size // 2
        release.set()
        consumer.join()
    assert len(started) == 20


def test_what_goes_wrong_while_reading_reaches_the_caller(model, pool):
    def broken():
        yield from samples(range(5))
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        scoring.score_samples(broken(), {"m": model}, ReadRules(), pool, 4)


def test_what_goes_wrong_in_a_model_stops_the_reader(model, pool, monkeypatch):
    monkeypatch.setattr(model.network, "encode_image", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(model, pool, range(500))
    assert not [t for t in threading.enumerate() if t.name == "winnow-read"]


def test_a_gpu_out_of_memory_halves_the_batch_and_remembers(model, pool, monkeypatch):
    expected = score(model, pool, range(9)).sets["m"]
    encode = model.network.encode_image
    sizes = []

    def scarce(x, normalize):
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return encode(x, normalize)

    monkeypatch.setattr(model.network, "encode_image", scarce)
    found = score(model, pool, range(9)).sets["m"]
    assert sizes == [4, 2, *[1] * 12]  # tried four, two, then one by one: three batches of four
    np.testing.assert_allclose(found["score"].to_numpy(), expected["score"].to_numpy(), atol=2e-6)


class Scarce(torch.nn.Module):
    """A transformer on a device whose memory holds the activations of a few rows; an error of torch's own above."""

    def __init__(self, whole, most):
        super().__init__()
        self.whole, self.most, self.sizes = whole, most, []

    def get_cast_dtype(self):
        return self.whole.get_cast_dtype()

    def forward(self, x, attn_mask=None):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.whole(x, attn_mask=attn_mask)


def test_captions_get_smaller_batches_too_and_the_other_tower_keeps_its_own(model, pool):
    """Halved below the 64 rows that captions are filled up to, and no piece is filled up again."""
    expected = score(model, pool, range(9)).sets["m"]
    model.network.transformer = tower = Scarce(model.network.transformer, 5)
    found = [score(model, pool, range(9)).sets["m"] for _ in range(2)]
    assert tower.sizes == [64, 32, 16, 8, *[4] * 16, 4, 4, 4]  # later 9 captions are filled up to 12
    assert (model._text_room.rows, model._image_room.rows) == (4, 0)
    for one in found:
        np.testing.assert_allclose(one["score"].to_numpy(), expected["score"].to_numpy(), atol=2e-6)


def test_a_whole_text_tower_gets_smaller_batches_without_any_filling(model, pool):
    expected = score(model, pool, range(9)).sets["m"]
    model._cut = None
    model.network.transformer = tower = Scarce(model.network.transformer, 5)
    found = score(model, pool, range(9)).sets["m"]
    assert tower.sizes == [9, 4, 4, 1]
    np.testing.assert_allclose(found["score"].to_numpy(), expected["score"].to_numpy(), atol=2e-6)


def test_a_slower_thread_does_not_raise_a_limit_again():
    room, slow, shrunk = RowLimit(), threading.Event(), threading.Event()

    def late(batch):
        if len(batch) == 64:
            slow.set()
            shrunk.wait(10)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    def early(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(room.run, late, torch.arange(64))
        slow.wait(10)
        assert torch.equal(room.run(early, torch.arange(16)), torch.arange(16))
        shrunk.set()
        assert torch.equal(waiting.result(10), torch.arange(64))
    assert room.rows == 2


def test_room_gives_up_when_a_single_row_does_not_fit():
    def never(batch):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        RowLimit().run(never, torch.zeros(8))


def test_the_last_line_says_what_bound_the_run():
    counters = {"score.model_ms": 7000, "score.wait_for_decode_ms": 2500, "score.wait_for_read_ms": 500}
    text = sentence({**counters, "score.decode_ms": 4000})
    assert text == (
        "scoring was bound by the model: of its time 70 % the model, 25 % decoding, 5 % reading; "
        "decode threads worked 4.0 s"
    )
    assert sentence({"select.in": 3}) == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_what_a_cpu_gives(tiny_network, pool, model):
    spec = resolve.resolve(resolve.parse_model(str(tiny_network)))
    there = clip.load(spec, device="cuda", batch_size=4)
    one, two = score(model, pool, range(30)), score(there, pool, range(30))
    np.testing.assert_allclose(one.sets["m"]["score"].to_numpy(), two.sets["m"]["score"].to_numpy(), atol=1e-3)
    assert two.clock.busy > 0


def jpeg(width, height):
    ramp = np.add.outer(np.arange(height) * 7, np.arange(width) * 5) % 256
    sink = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).convert("RGB").save(sink, "JPEG", quality=92)
    return sink.getvalue()


def network(folder, **preprocess):
    """Loads the tiny network with another preprocessing, as another model."""
    model = clip.load(resolve.resolve(resolve.parse_model(str(folder))), batch_size=4, threads=1)
    model.view = preprocessing.view({**trained_with.PREPROCESS, **preprocess}, 32, preprocess.pop("variant", "exact"))
    return model


def of_images(images):
    for row, data in enumerate(images):
        yield RawSample(f"k{row}", 512 * row, 512, {"jpg": data, "txt": f"number {row}".encode()}, None, "")


def test_an_image_that_one_model_cannot_take_is_rejected_for_no_other(tiny_network, pool):
    shortest, longest = network(tiny_network), network(tiny_network, resize_mode="longest")
    narrow = jpeg(700, 1)
    data = [picture(1), narrow, picture(2), narrow, picture(3), picture(4), picture(5)]

    def run(**models):
        return scoring.score_samples(of_images(data), models, ReadRules(), pool, 4)

    both, one, two, none = run(a=shortest, b=longest), run(a=shortest), run(b=longest), run()
    assert both.index.equals(one.index)
    assert both.index.equals(two.index)
    assert both.index.equals(none.index)
    assert set(both.index["status"].to_pylist()) == {"ok"}
    for name, alone in (("a", one), ("b", two)):
        for column in ("image", "text"):
            assert both.sets[name][column].equals(alone.sets[name][column])
        assert np.array_equal(both.sets[name]["score"], alone.sets[name]["score"], equal_nan=True)
    assert np.isfinite(both.sets["a"]["score"].to_numpy()).all()
    assert np.isnan(both.sets["b"]["score"].to_numpy()).tolist() == [False, True, False, True, False, False, False]
    embedded = columns.embedded(columns.embeddings(both.sets["b"]["image"]))
    assert embedded.tolist() == [True, False, True, False, True, True, True]
    assert both.unseen == {"b": 2}


@pytest.mark.parametrize("variant", ["exact", "fast"])
def test_the_perceptual_hash_is_the_same_whatever_the_models(tiny_network, pool, variant):
    views = [{}, {"resize_mode": "longest"}, {"resize_mode": "squash"}]
    models = [network(tiny_network, variant=variant, **view) for view in views]
    rules = ReadRules(variant=variant)
    data = [jpeg(1000, 300), jpeg(2300, 1900), picture(0)]
    found = [
        scoring.score_samples(of_images(data), dict(enumerate(chosen)), rules, pool, 4).index
        for chosen in (models, models[::-1], models[:1], models[1:2], models[2:], [])
    ]
    assert all(index.equals(found[0]) for index in found)
    assert found[0]["width"].to_pylist() == [1000, 2300, 50]


@given(st.sampled_from(["shortest", "longest", "squash"]), st.sampled_from([32, 224]), st.integers(1, 4000), st.data())
@settings(max_examples=60)
@example("longest", 224, 3577, 8)
@example("longest", 224, 2000, 5)
@example("shortest", 224, 4000, 1)
@example("longest", 32, 1, 1)
def test_fast_accepts_what_exact_accepts(mode, side, width, height):
    if not isinstance(height, int):
        height = height.draw(st.integers(1, max(1, 4000 // width)) | st.integers(1, 60))
    data = jpeg(width, height)
    preprocess = {**trained_with.PREPROCESS, "resize_mode": mode}
    exact, fast = (
        prefetch.decode(data, ReadRules(variant=variant), [preprocessing.view(preprocess, side, variant)])
        for variant in ("exact", "fast")
    )
    assert (exact.error, fast.error) == (None, None)
    assert (fast.width, fast.height) == (width, height)
    assert exact.pixels[0] is None or fast.pixels[0] is not None
