"""Networks and tokenizers are those that open_clip builds, tensor by tensor and token by token."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file

from tests.conftest import TINY
from transforms.lib.models import building, resolve
from transforms.lib.models.locate import local_only, locate

MULTIMODAL = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
FORMS = {
    "plain": {},
    "quick_gelu": {"quick_gelu": True},
    "custom_text": {"custom_text": True},
    "siglip": {"custom_text": True, "init_logit_bias": -10},
    "coca": {"custom_text": True, "multimodal_cfg": MULTIMODAL},
}


def spec_of(folder):
    return resolve.resolve(resolve.parse_model(f"m={folder}"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("precision", building.PRECISIONS)
def test_a_network_is_open_clips_own(tmp_path, form, precision):
    import open_clip

    config = copy.deepcopy(TINY)
    config["model_cfg"] |= FORMS[form]
    if form == "coca":
        config["model_cfg"]["text_cfg"]["embed_cls"] = True
        config["model_cfg"]["vision_cfg"].update(attentional_pool=True, attn_pooler_heads=2)
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    made = open_clip.create_model(f"local-dir:{tmp_path}")
    save_file(
        {name: value.contiguous() for name, value in made.state_dict().items()},
        tmp_path / "open_clip_model.safetensors",
    )
    spec = spec_of(tmp_path)
    ours, tokenize = building.build(spec, locate(spec, local_only), precision)
    theirs = open_clip.create_model(f"local-dir:{tmp_path}", precision=building.PRECISIONS[precision]).eval()
    assert str(ours) == str(theirs)
    state = theirs.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, equal_nan=True, msg=name)
    assert torch.equal(tokenize(["a dog"]), open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a dog"]))


def test_weights_of_the_plain_form_fit_a_network_with_a_text_tower_of_its_own(tiny_network, tmp_path):
    import open_clip

    config = copy.deepcopy(TINY)
    config["model_cfg"]["custom_text"] = True
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "open_clip_model.safetensors").write_bytes((tiny_network / "open_clip_model.safetensors").read_bytes())
    spec = spec_of(tmp_path)
    ours, _ = building.build(spec, locate(spec, local_only), "fp32")
    theirs = open_clip.create_model(f"local-dir:{tmp_path}").state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.state_dict().items())
