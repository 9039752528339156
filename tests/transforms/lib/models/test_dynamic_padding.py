"""Cut captions embed as whole ones, to the bit, in every family of text towers that open_clip ships."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CustomTextCLIP

from transforms.lib.models import clip, dynamic_padding, resolve

CONTEXT, END = 77, 999
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": CONTEXT, "vocab_size": 1000, "width": 128, "heads": 4, "layers": 2}

# what tells the text towers of open_clip's configurations apart -> may their tokens be cut?
FAMILIES = {
    "clip": (CLIP, {}, True),
    "clip, quick gelu": (CLIP, {"quick_gelu": True}, True),
    "worldwide": (CLIP, {"pool_type": "eos", "eos_id": END}, True),
    "eva, mobileclip-b": (CustomTextCLIP, {"no_causal_mask": False}, True),
    "mobileclip-s": (CustomTextCLIP, {"no_causal_mask": True}, False),
    "clipa": (CLIP, {"no_causal_mask": True, "pool_type": "last"}, False),
    "siglip": (CustomTextCLIP, {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}, False),
    "siglip 2": (
        CustomTextCLIP,
        {"no_causal_mask": True, "pool_type": "last", "act_kwargs": {"approximate": "tanh"}},
        False,
    ),
    "siglip so400m": (CustomTextCLIP, {"no_causal_mask": True, "pool_type": "last", "proj_type": "none"}, False),
    "coca": (CustomTextCLIP, {"embed_cls": True, "output_tokens": True}, False),
}


def network_of(family, dim=128):
    kind, text, _ = FAMILIES[family]
    text = dict(text)
    more = {"quick_gelu": True} if text.pop("quick_gelu", False) else {}
    torch.manual_seed(0)
    return kind(dim, VISION, {**TEXT, **text}, **more).eval()


def captions(count, longest, seed=0):
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, longest + 1, (count,), generator=random)
    lengths[-1] = longest
    tokens = torch.randint(1, END, (count, CONTEXT), generator=random)
    for row, length in enumerate(lengths):
        tokens[row, length - 1] = END
        tokens[row, length:] = 0
    return tokens


@pytest.mark.parametrize("family", [name for name, (_, _, cut) in FAMILIES.items() if cut])
@pytest.mark.parametrize("longest", [3, 16, 17, 40, 77])
def test_cut_captions_embed_as_whole_ones_to_the_bit(family, longest):
    network = network_of(family)
    tower = dynamic_padding.cuttable(network)
    tokens = captions(64, longest)
    with torch.inference_mode():
        cut = tower.encode(tokens[:, : dynamic_padding.rounded(longest, CONTEXT)])
        assert torch.equal(cut, network.encode_text(tokens))


@pytest.mark.parametrize("family", [name for name, (_, _, cut) in FAMILIES.items() if cut])
def test_the_model_cuts_sorts_and_puts_back(family):
    network = network_of(family)
    model = clip.wrap(network, None, {"model_cfg": {"embed_dim": 128, "vision_cfg": VISION}})
    tokens = captions(301, 60)
    with torch.inference_mode():
        whole = network.encode_text(dynamic_padding.filled(tokens), normalize=True)[:301]
    assert (
        abs(model.embed_tokens([tokens[:99], tokens[99:]]) - whole.numpy()).max() <= 2e-7
    )  # batches of other shapes than `whole`
    lengths = dynamic_padding.cuttable(network).lengths(tokens)
    assert lengths.tolist() == (1 + (tokens == END).int().argmax(1)).tolist()


@pytest.mark.parametrize("family", [name for name, (_, _, cut) in FAMILIES.items() if not cut])
def test_other_towers_are_left_whole_and_a_cut_would_show(family):
    network = network_of(family)
    assert dynamic_padding.cuttable(network) is None
    if family == "mobileclip-s":  # reads the end of the text, but has looked at the padding behind it
        tokens = captions(64, 16)
        with torch.inference_mode():
            network.text.positional_embedding.data[16:] += 1
            other = network.encode_text(tokens)
            network.text.positional_embedding.data[16:] -= 1
            assert not torch.equal(other, network.encode_text(tokens))


def test_an_end_of_text_written_in_a_caption_ends_it():
    network = network_of("clip")
    tokens = captions(64, 40)
    tokens[:, 5] = END
    tower = dynamic_padding.cuttable(network)
    assert tower.lengths(tokens).max() == 6
    with torch.inference_mode():
        assert torch.equal(tower.encode(tokens[:, :16]), network.encode_text(tokens))


def test_tinyclip_is_cut_to_the_bit():
    model = clip.load(resolve.resolve(resolve.parse_model("tinyclip")))
    tokens = model.tokens([f"a thing in the picture number {n} " * (1 + n % 2) for n in range(64)])
    tower = dynamic_padding.cuttable(model.network)
    length = dynamic_padding.rounded(int(tower.lengths(tokens).max()), tokens.shape[1])
    assert length < tokens.shape[1]
    with torch.inference_mode():
        assert torch.equal(tower.encode(tokens[:, :length]), model.network.encode_text(tokens))


def test_every_configuration_of_open_clip_belongs_to_a_tested_family():
    """No configuration may set something of the text tower that no family here sets."""
    tested = {key for _, text, _ in FAMILIES.values() for key in text} | set(TEXT)
    harmless = {"hf_tokenizer_name", "tokenizer_kwargs", "norm_kwargs", "mlp_ratio", "pad_id"}
    for path in sorted((Path(open_clip.__file__).parent / "model_configs").glob("*.json")):
        text = json.loads(path.read_text()).get("text_cfg", {})
        if "hf_model_name" not in text:
            assert set(text) <= tested | harmless, path.name


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "mt5", "m2m_100"])
def test_other_towers_of_transformers_are_left_whole(kind):
    from open_clip.hf_model import HFTextEncoder
    from transformers import AutoConfig

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    small |= {"d_model": 32, "d_ff": 32, "d_kv": 16, "num_layers": 1, "num_heads": 2, "encoder_layers": 1}
    small |= {"encoder_attention_heads": 2, "decoder_layers": 1, "decoder_attention_heads": 2}
    config = AutoConfig.for_model(kind, **small, vocab_size=100)
    network = CustomTextCLIP(128, VISION, TEXT)
    network.text = HFTextEncoder("", 128, config=config, pooler_type="mean_pooler", proj_type="linear")
    assert dynamic_padding.cuttable(network) is None
