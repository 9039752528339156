"""Networks of timm as image columns: timm's own pixels and embeddings, on the side that was asked for."""

import io

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tests.transforms.lib.models.test_clip import image_of
from transforms.lib import stamps
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import clip, resolve, timm_model

PIN = "a" * 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Seeded random weights: a tiny ViT in DINOv2's layout, a tiny ViT with a head, and a convolutional network."""
    folder = tmp_path_factory.mktemp("timm")
    for name in ("test_vit", "test_vit4", "test_efficientnet"):
        torch.manual_seed(0)
        torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
    return folder


def spec_of(weights, source):
    path = weights / f"{source.split('/')[0]}.pth"
    return resolve.resolve(resolve.parse_model(f"timm:{source}@{path}#sha256={stamps.sha256_of(str(path))}"))


@pytest.mark.parametrize("name", ["test_vit", "test_vit4", "test_efficientnet"])
def test_pixels_and_embeddings_are_timms_own(weights, name):
    spec = spec_of(weights, name)
    model = clip.load(spec, batch_size=3)
    network = timm.create_model(name, num_classes=0, checkpoint_path="")
    whole = torch.load(weights / f"{name}.pth", weights_only=True)
    network.load_state_dict(whole, strict=False)
    seen = timm.data.resolve_data_config({}, model=network)
    transform = timm.data.create_transform(**seen, is_training=False)
    images = [image_of(mode, size) for mode in ("RGB", "L", "P", "RGBA", "CMYK") for size in ((61, 37), (300, 200))]
    inputs = torch.stack([transform(image.convert("RGB")) for image in images])
    pixels = np.stack([model.pixels(image) for image in images])
    ours = model.normalise(torch.from_numpy(pixels))
    torch.testing.assert_close(ours, inputs, atol=1e-6, rtol=0)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network.eval()(inputs), dim=-1).numpy()
    assert (spec.dim, spec.part) == (expected.shape[1], "image")
    np.testing.assert_allclose(model.embed_images(pixels), expected, atol=2e-6)


def test_another_side_fits_the_position_embedding(weights):
    model = clip.load(spec_of(weights, "test_vit/96"))
    image = image_of("RGB", (120, 100))
    assert model.pixels(image).shape == (96, 96, 3)
    fitted = timm_model.build("test_vit/96", str(weights / "test_vit.pth")).network.pos_embed
    own = timm_model.build("test_vit", str(weights / "test_vit.pth")).network.pos_embed
    assert fitted.shape[1] < own.shape[1]
    assert np.isfinite(model.embed_images(model.pixels(image)[None])).all()


def test_dinov2_is_found_with_its_own_preprocessing():
    config = timm_model.config("vit_small_patch14_dinov2.lvd142m/224")
    assert config["model_cfg"] == {"embed_dim": 384, "vision_cfg": {"image_size": 224}}
    assert config["preprocess_cfg"]["mean"] == [0.485, 0.456, 0.406]


def test_the_name_of_the_column_set_is_the_networks():
    parsed = resolve.parse_model(f"timm:vit_small_patch14_dinov2.lvd142m/224@/x/w.pth#sha256={PIN}")
    assert (parsed.name, parsed.part) == ("vit_small_patch14_dinov2_lvd142m_224", "image")
    assert resolve.parse_model(f"dino=timm:test_vit@w.pth#sha256={PIN}").name == "dino"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"text:timm:test_vit@w.pth#sha256={PIN}", "has no text tower"),
        ("timm:test_vit@w.pth", "pin the weights file"),
        (f"timm:Test Vit@w.pth#sha256={PIN}", "write timm:NAME@FILE"),
        (f"timm:test_vit/0@w.pth#sha256={PIN}", "write timm:NAME@FILE"),
    ],
)
def test_what_is_no_network_of_timm_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        resolve.parse_model(text)


def test_an_unknown_name_is_refused_with_near_ones(weights):
    with pytest.raises(ConfigError, match=r"'test_vitt' is unknown to timm .*did you mean test_vit"):
        timm_model.config("test_vitt")


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(InputError, match=r"w.pth does not exist"):
        resolve.resolve(resolve.parse_model(f"timm:test_vit@{tmp_path}/w.pth#sha256={PIN}"))


def test_it_writes_a_column_set_beside_a_clip_model(winnow, tiny_network, small_pool, weights, tmp_path):
    import pyarrow.parquet as pq

    from transforms.lib.columnstore import columns
    from transforms.lib.samples import images

    digest = stamps.sha256_of(str(weights / "test_vit.pth"))
    models = [f"--model=net={tiny_network}", f"--model=dino=timm:test_vit@{weights}/test_vit.pth#sha256={digest}"]
    code, _, err = winnow("score", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", *models)
    assert code == 0, err
    table = pq.read_table(tmp_path / "out/columns/dino/00000.parquet")
    assert table.column_names == ["image"]
    index = pq.read_table(tmp_path / "out/columns/index/00000.parquet").to_pylist()
    row = next(n for n, sample in enumerate(index) if sample["status"] == "ok")
    model = clip.load(spec_of(weights, "test_vit"))
    import tarfile

    with tarfile.open(small_pool / "00000.tar") as tar:
        data = tar.extractfile(f"{index[row]['key']}.{index[row]['image_extension']}").read()
    assert Image.open(io.BytesIO(data)).size == (index[row]["width"], index[row]["height"])
    expected = model.embed_images(model.pixels(images.decode(data))[None])[0]
    np.testing.assert_allclose(columns.embeddings(table["image"])[row], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda own, other: other, r"its file lacks \d+ tensors"),
        (lambda own, other: {n: v for n, v in own.items() if n != "norm.weight"}, r"lacks 1 tensors \(norm.weight\)"),
        (lambda own, other: {**own, "blocks.99.norm1.weight": own["norm.weight"]}, r"has not, 1 tensors \(blocks.99"),
        (lambda own, other: {**own, "norm.weight": own["norm.weight"][:-1]}, r"cannot be loaded .*size mismatch"),
    ],
)
def test_weights_of_another_network_are_refused_and_not_drawn_at_random(weights, tmp_path, spoil, message):
    own, other = (torch.load(weights / f"{name}.pth", weights_only=True) for name in ("test_vit", "test_efficientnet"))
    torch.save(spoil(own, other), tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        timm_model.build("test_vit", str(tmp_path / "w.pth"))


def test_a_classifier_of_any_size_or_none_may_come_with_the_weights(weights, tmp_path):
    own = torch.load(weights / "test_vit.pth", weights_only=True)
    bare = {name: value for name, value in own.items() if not name.startswith("head.")}
    assert bare != own
    small = {**own, "head.weight": own["head.weight"][:3], "head.bias": own["head.bias"][:3]}
    found = []
    for number, state in enumerate((own, bare, small)):
        torch.save(state, tmp_path / f"{number}.pth")
        found.append(timm_model.build("test_vit", str(tmp_path / f"{number}.pth")).state_dict())
    assert all(torch.equal(one[name], found[0][name]) for one in found for name in found[0])


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_one_line(weights, tmp_path, name):
    (tmp_path / name).write_bytes((weights / "test_vit.pth").read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cannot be loaded \(.*\); give the weights file of this network, whole"):
        timm_model.build("test_vit", str(tmp_path / name))
