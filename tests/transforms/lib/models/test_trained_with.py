"""Every published tag, and every architecture with a file, runs as it was trained, or is refused with the cure."""

import json

import pytest
import torch
from open_clip.factory import get_model_config
from open_clip.pretrained import _PRETRAINED
from safetensors.torch import save_file

from tests.conftest import TINY
from transforms.lib import stamps
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import clip, published, resolve, trained_with

TAGS = [(arch, tag) for arch, tags in _PRETRAINED.items() for tag in tags]
UNCLEAR = ("roberta-ViT-B-32", "laion2b_s12b_b32k")  # the list is silent of its activation, the architecture is not
SEEN = ("mean", "std", "interpolation", "resize_mode")


def plain(facts):
    return {name: list(facts[name]) if isinstance(facts[name], tuple) else facts[name] for name in SEEN}


def test_the_list_is_read_without_the_package():
    assert published.all_tags() == TAGS
    assert published.builtin("ViT-L-14") == get_model_config("ViT-L-14")


@pytest.mark.parametrize(("arch", "tag"), TAGS, ids=["/".join(pair) for pair in TAGS])
def test_every_tag_runs_as_it_was_trained(arch, tag):
    facts = _PRETRAINED[arch][tag]
    if (arch, tag) == UNCLEAR:
        with pytest.raises(
            ConfigError, match="its architecture says QuickGELU; name its own configuration: hf-hub:laion"
        ):
            trained_with.of_tag("m", arch, tag)
        return
    trained = trained_with.of_tag("m", arch, tag)
    told = trained_with.facts(trained.config)
    listed = get_model_config(arch)
    assert told["activation"] == ("QuickGELU" if facts.get("quick_gelu") else "GELU")
    assert {name: told[name] for name in SEEN} == plain(facts)
    assert told["image_size"] == listed["vision_cfg"]["image_size"]
    assert told["context_length"] == listed["text_cfg"].get("context_length", 77)
    changed = bool(facts.get("quick_gelu")) != bool(listed.get("quick_gelu"))
    assert bool(trained.note) == changed
    if changed:
        assert trained.config["model_cfg"] == {**listed, "quick_gelu": True}


def test_28_tags_are_listed_under_another_activation():
    notes = [trained_with.of_tag("m", *pair).note for pair in TAGS if pair != UNCLEAR]
    assert sum(map(bool, notes)) + 1 == 28


@pytest.mark.parametrize("arch", sorted(_PRETRAINED))
def test_a_file_is_prepared_as_the_published_weights_of_its_architecture_where_they_agree(arch):
    ways = {json.dumps(plain(facts), sort_keys=True) for facts in _PRETRAINED[arch].values()}
    if len(ways) > 1:
        with pytest.raises(ConfigError, match=r"differ in how images were prepared.*#sha256=HEX,as=TAG \(as="):
            trained_with.of_file("m", arch)
        return
    trained = trained_with.of_file("m", arch)
    assert {name: trained_with.facts(trained.config)[name] for name in SEEN} == json.loads(ways.pop())
    assert "mean" in trained.note


def test_an_architecture_without_published_weights_is_prepared_by_open_clips_defaults():
    assert "by open_clip's defaults, nothing being published of it" in trained_with.of_file("m", "ViT-S-32-alt").note


def test_a_published_file_is_known_by_its_digest():
    digest = "d867053b" + "0" * 56
    trained = trained_with.of_file("m", "ViT-B-32", sha256=digest)
    assert trained.config["model_cfg"]["quick_gelu"]
    assert "those of ViT-B-32/laion400m_e31" in trained.note
    openai = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    assert "ViT-L-14/openai" in trained_with.of_file("m", "ViT-L-14", sha256=openai).note


def test_the_user_says_how_a_file_was_trained():
    one = trained_with.of_file("m", "ViT-L-14", "as=laion2b_s32b_b82k")
    assert one.config["preprocess_cfg"]["mean"] == (0.5, 0.5, 0.5)
    text = "mean=0.5,std=0.4:0.5:0.6,interpolation=bilinear,resize=squash"
    other = trained_with.of_file("m", "ViT-L-14", text)
    told = {"mean": [0.5] * 3, "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}
    assert other.config["preprocess_cfg"] == told
    assert not other.note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("as=nonesuch", "has no such weights; there are openai"),
        ("colour=red", "'colour' is unknown; there are as, mean, std, interpolation and resize"),
        ("interpolation=nearest", "interpolation must be one of bicubic, bilinear"),
        ("resize=cut", "resize must be one of shortest, longest, squash"),
        ("mean=red", "must be one number, or three"),
        ("std=0", "a std is not 0"),
        ("mean=1:2", "must be one number, or three"),
        ("as=openai,mean=0.5", "says all of it"),
    ],
)
def test_what_cannot_be_said_of_a_file_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        trained_with.of_file("m", "ViT-L-14", text)


def test_what_is_said_of_a_file_reaches_the_network_and_the_stamp(tmp_path):
    from open_clip import create_model

    torch.manual_seed(1)
    weights = tmp_path / "w.safetensors"
    save_file(create_model("ViT-S-32-alt").state_dict(), weights)
    pinned = f"m=ViT-S-32-alt@{weights}#sha256={stamps.sha256_of(str(weights))}"
    one = resolve.resolve(resolve.parse_model(pinned))
    two = resolve.resolve(resolve.parse_model(f"{pinned},mean=0.5,resize=squash"))
    assert (one.preprocess, one.files) != (two.preprocess, two.files)
    assert clip.load(two)._mean.flatten().tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "nearest"}, "interpolation 'nearest'; it must be one of bicubic, bilinear"),
        ({"resize_mode": "crop"}, "resize_mode 'crop'; it must be one of"),
        ({"mean": "red"}, "mean 'red' must be one number, or three"),
        ({"std": [0, 1, 1]}, "a std is not 0"),
    ],
)
def test_a_folders_preparation_that_is_none_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        trained_with.of_config("m", "net", {**TINY, "preprocess_cfg": changes})


def test_a_folder_that_says_nothing_gets_the_defaults_and_a_word():
    assert (
        "names no mean or no std; open_clip's defaults"
        in trained_with.of_config("m", "net", {**TINY, "preprocess_cfg": {}}).note
    )
    assert not trained_with.of_config("m", "net", TINY).note
