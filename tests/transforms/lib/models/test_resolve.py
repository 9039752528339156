import pytest

from transforms.lib.errors import ConfigError
from transforms.lib.models import resolve
from transforms.lib.models.spec import ParsedModel

PIN = "a" * 64


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tinyclip", ParsedModel("tinyclip", "tinyclip")),
        ("dfn=tinyclip", ParsedModel("dfn", "tinyclip")),
        ("ViT-B-32/openai", ParsedModel("vit_b_32_openai", "tag", "ViT-B-32", "openai")),
        ("hf-hub:apple/DFN-public", ParsedModel("apple_dfn_public", "hub", "apple/DFN-public")),
        ("gs://bucket/my-net/", ParsedModel("my_net", "folder", "gs://bucket/my-net")),
        ("local-dir:/models/net", ParsedModel("models_net", "folder", "/models/net")),
        ("a=./net", ParsedModel("a", "folder", "./net")),
        (f"b=ViT-B-32@gs://b/w.pt#sha256={PIN}", ParsedModel("b", "file", "ViT-B-32", "gs://b/w.pt", PIN)),
    ],
)
def test_takes_every_form_apart(text, parsed):
    assert resolve.parse_model(text) == parsed


@pytest.mark.parametrize(
    "text", ["ViT-B-32", "hf-hub:alone", "ViT-B-32@w.pt#sha256=12", "", "A-B=tinyclip", "nosuch/x"]
)
def test_refuses_what_is_none_of_them(text):
    with pytest.raises(ConfigError, match="--model"):
        resolve.parse_model(text)


def test_the_fingerprint_tells_preprocessings_apart(tiny_network, tmp_path):
    import json
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny_network, other)
    config = json.loads((other / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["interpolation"] = "bilinear"
    (other / "open_clip_config.json").write_text(json.dumps(config))
    one, two = (resolve.resolve(resolve.parse_model(f"m={path}")) for path in (tiny_network, other))
    assert one.weights_sha256 == two.weights_sha256
    assert one.preprocess != two.preprocess


def test_everything_that_can_be_given_is_listed_without_a_download():
    lines = resolve.known_models()
    assert any("tinyclip" in line for line in lines)
    assert "    ViT-B-32/laion2b_s34b_b79k" in lines
    for line in lines:
        if line.startswith("    "):
            assert resolve.parse_model(line.strip()).kind == "tag"


def test_one_tower_of_a_network_has_a_name_of_its_own():
    one, two = resolve.parse_model("text:tinyclip"), resolve.parse_model("mine=image:tinyclip")
    assert (one.name, one.kind, one.part) == ("tinyclip_text", "tinyclip", "text")
    assert (two.name, two.part) == ("mine", "image")
    assert resolve.parse_model("tinyclip").part == ""
