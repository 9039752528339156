"""How a network and its tokenizer are built from files that are there: no library finds, fetches or runs anything."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transforms.lib.errors import InputError
from transforms.lib.models import checkpoints, timm_model, tinyclip, tokenizing

if TYPE_CHECKING:
    import torch

    from transforms.lib.models.locate import Located
    from transforms.lib.models.spec import ModelSpec

PRECISIONS = {"fp32": "fp32", "bf16": "pure_bf16", "fp16": "pure_fp16"}
Tokenize = Callable[[list[str]], "torch.Tensor"]


def build(spec: ModelSpec, found: Located, precision: str) -> tuple[Any, Tokenize]:
    """Returns a network in evaluation mode and its tokenizer.

    Args:
      spec: from ``resolve.resolve``.
      found: its files, from ``locate.locate``.
      precision: one of ``PRECISIONS``.

    Raises:
      InputError: the weights are damaged, or those of another network.
    """
    import open_clip

    dtype = open_clip.get_input_dtype(PRECISIONS[precision])
    if spec.kind == "tinyclip":
        return tinyclip.build().to(dtype=dtype), tinyclip.tokenizer()
    if spec.kind == "timm":
        return timm_model.build(spec.source, found.weights).to(dtype=dtype), _no_text
    with checkpoints.reading(spec.name, found.weights):
        network = empty(found).to(dtype=dtype)
        _fill(spec.name, network, found.weights)
        return network.eval(), tokenizer(found)


def empty(found: Located) -> Any:
    """Returns an open_clip network of random weights in float32; its parts are those that the configuration names."""
    from open_clip import coca_model, model

    config = copy.deepcopy(found.config["model_cfg"])
    text, vision = config["text_cfg"], config["vision_cfg"]
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if found.tower:
        text |= {"hf_model_name": found.tower, "hf_model_pretrained": False}
    kind = model.CLIP
    if config.pop("custom_text", False) or found.tower:
        kind = coca_model.CoCa if "multimodal_cfg" in config else model.CustomTextCLIP
    return kind(**config)


def tokenizer(found: Located) -> Tokenize:
    """Returns the tokenizer of a network: CLIP's own, or one of transformers from the files of a folder."""
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    text = found.config["model_cfg"]["text_cfg"]
    length, arguments = text.get("context_length", 77), dict(text.get("tokenizer_kwargs") or {})
    if not found.tokenizer:
        return tokenizing.bounded(SimpleTokenizer(context_length=length, **arguments))
    arguments |= {"tokenizer_mode": text.get("tokenizer_mode"), "trust_remote_code": False, "local_files_only": True}
    return tokenizing.bounded(HFTokenizer(found.tokenizer, context_length=length, **arguments))


def _fill(model: str, network: Any, weights: str) -> None:
    """Loads weights as open_clip does: published forms of other authors and sizes are converted, all else must fit.

    Raises:
      InputError: the tensors are those of another network.
    """
    from open_clip import convert
    from open_clip import model as open_clip_model

    if weights.endswith((".npz", ".npy")):
        convert.load_big_vision_weights(network, weights)
        return
    own = network.state_dict()
    state = checkpoints.unwrapped(checkpoints.read(model, weights), list(own))
    state = convert.convert_state_dict(network, state)
    if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
        state = open_clip_model.convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        if name in state and name in own:
            state[name] = state[name].reshape(own[name].shape)
    if "logit_bias" not in state and getattr(network, "logit_bias", None) is not None:
        state["logit_bias"] = 0 * state["logit_scale"]
    if "text.transformer.embeddings.position_ids" not in own:  # in files of transformers before 4.31
        state.pop("text.transformer.embeddings.position_ids", None)
    open_clip_model.resize_pos_embed(state, network)
    open_clip_model.resize_text_pos_embed(state, network)
    checkpoints.check_names(model, sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys()))
    wrong = [name for name, value in state.items() if value.shape != own[name].shape]
    if wrong:
        shapes = f"{list(state[wrong[0]].shape)} in the file, {list(own[wrong[0]].shape)} in the network"
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise InputError(f"--model {model}: {wrong[0]} is {shapes}{more}; {checkpoints.HINT}")
    network.load_state_dict(state)


def _no_text(texts: list[str]) -> torch.Tensor:
    raise TypeError(f"a network without a text tower was given {len(texts)} captions")
