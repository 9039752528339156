"""A model's configuration may name the parts of a network, and nothing that fetches or runs."""

import json
import shutil
import sys

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.conftest import TINY
from transforms.lib.errors import InputError
from transforms.lib.models import clip, resolve, safe_config, tinyclip
from transforms.lib.training import network_folder


@pytest.fixture
def folder(tiny_network, tmp_path):
    """The tiny network with a tokenizer of transformers in its folder, of the words of its vocabulary."""
    place = tmp_path / "net"
    shutil.copytree(tiny_network, place)
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "[PAD]": 1, "a": 2, "dog": 3}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(place / "tokenizer.json"))
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (place / "tokenizer_config.json").write_text(json.dumps(special))
    change(place, lambda config: config["model_cfg"]["text_cfg"].update(hf_tokenizer_name="some/words"))
    return place


def change(folder, edit, name="open_clip_config.json"):
    config = json.loads((folder / name).read_text())
    edit(config)
    (folder / name).write_text(json.dumps(config))


def text(**values):
    return lambda config: config["model_cfg"]["text_cfg"].update(values)


def load(folder):
    return clip.load(resolve.resolve(resolve.parse_model(f"m={folder}")))


def test_a_folders_own_tokenizer_is_used(folder):
    assert load(folder).tokens(["a dog", "dog"])[:, :3].tolist() == [[2, 3, 1], [3, 1, 1]]


@pytest.mark.parametrize("asked", [{"trust_remote_code": True}, {"trust_remote_code": False}, {}])
def test_code_in_a_folder_does_not_run(folder, tmp_path, asked, capsys):
    """The folder of a stranger, whose tokenizer is Python that makes a file."""
    (folder / "words.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import PreTrainedTokenizerFast as Words\n"
    )
    named = {"AutoTokenizer": ["words.Words", "words.Words"]}
    change(folder, lambda config: config.update(auto_map=named, tokenizer_class="Words"), "tokenizer_config.json")
    change(folder, text(tokenizer_kwargs=asked))
    for work in (load, lambda place: network_folder.open_network(f"m={place}")):
        with pytest.raises(
            InputError, match=r"trust_remote_code|auto_map, which runs or fetches what a stranger wrote"
        ):
            work(folder)
    assert not (tmp_path / "ran").exists()
    assert "words" not in sys.modules
    assert capsys.readouterr().out == ""


def test_a_hubs_model_is_held_to_the_same(folder, tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "hub/models--who--net/snapshots" / ("a" * 40)
    snapshot.parent.mkdir(parents=True)
    change(folder, text(tokenizer_kwargs={"trust_remote_code": True}))
    shutil.copytree(folder, snapshot)
    (tmp_path / "hub/models--who--net/refs").mkdir()
    (tmp_path / "hub/models--who--net/refs/main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InputError, match="has trust_remote_code, which runs or fetches"):
        load("hf-hub:who/net")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            text(tokenizer_kwargs={"bpe_path": "/etc/passwd"}),
            "the tokenizer argument bpe_path = '/etc/passwd' is refused",
        ),
        (text(tokenizer_kwargs={"clean": 3}), "clean = 3 is refused; known are clean"),
        (text(tokenizer_kwargs={"clean": "all"}), "clean 'all' is unknown; there are whitespace"),
        (text(tokenizer_kwargs={"reduction_mask": "shuffle"}), "draws words at random"),
        (text(tokenizer_kwargs=["a"]), "tokenizer_kwargs that are no object"),
        (text(tokenizer_mode="mine"), "open_clip knows clips alone"),
        (text(hf_tokenizer_name="../../etc"), "which is no plain name"),
        (text(hf_model_name="http://evil/x"), "which is no plain name"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(timm_model_name="hf-hub:who/net"), "no plain name"),
        (lambda config: config["model_cfg"]["vision_cfg"].update(image_size=10**6), "it must be 1 to 4096"),
        (lambda config: config.update(auto_map={"AutoModel": "x.Y"}), "has auto_map"),
        (lambda config: config["model_cfg"].update(text_cfg=[]), "has no model_cfg with vision_cfg and text_cfg"),
        (lambda config: config["model_cfg"].update(embed_dim="16"), "has no whole embed_dim"),
    ],
)
def test_what_a_configuration_must_not_ask_for(folder, edit, message):
    change(folder, edit)
    with pytest.raises(InputError, match=message):
        resolve.resolve(resolve.parse_model(f"m={folder}"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_type": "bert", "auto_map": {"AutoConfig": "x.Y"}}, "has auto_map"),
        ({"model_type": "bert", "_attn_implementation": "who/kernel"}, "which fetches and runs code"),
        ({"model_type": "bert", "sub": [{"trust_remote_code": True}]}, "has trust_remote_code"),
        ({"model_type": "mine"}, "model_type 'mine'; open_clip's text towers are bert"),
        ([], "model_type None"),
    ],
)
def test_what_a_text_tower_must_not_ask_for(tmp_path, content, message):
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        safe_config.check_text_files("m", str(tmp_path), True)


def test_a_text_tower_elsewhere_on_this_machine_is_not_opened(folder):
    change(folder, text(hf_model_name=str(tinyclip.text_folder())))
    with pytest.raises(InputError, match=r"put the files of the text tower beside open_clip_config.json"):
        resolve.resolve(resolve.parse_model(f"m={folder}"))


def test_a_folder_without_its_tokenizer_says_where_it_is_from(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        InputError, match=r"has no tokenizer .* put the files of some/words beside open_clip_config.json"
    ):
        resolve.resolve(resolve.parse_model(f"m={folder}"))


def test_a_broken_configuration_is_named(folder):
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer_config.json of .* is not JSON"):
        resolve.resolve(resolve.parse_model(f"m={folder}"))


def test_an_edited_tokenizer_makes_new_scores(folder):
    before = resolve.resolve(resolve.parse_model(f"m={folder}"))
    change(folder, lambda config: config["model"]["vocab"].update(cat=4), "tokenizer.json")
    after = resolve.resolve(resolve.parse_model(f"m={folder}"))
    assert before.files != after.files
    with pytest.raises(InputError, match="configuration or tokenizer differ"):
        clip.load(before)


def test_the_tiny_configuration_is_allowed():
    safe_config.check_model("m", "net", TINY)
