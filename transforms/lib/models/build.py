"""Build the network of a spec, with its weights, in evaluation mode, and the tokenizer that belongs to it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.lib.models import timm_model, tinyclip, weight_files

if TYPE_CHECKING:
    import torch

    from transforms.lib.models.spec import ModelSpec

PRECISIONS = {"fp32": "fp32", "bf16": "pure_bf16", "fp16": "pure_fp16"}
"""``--precision`` -> open_clip's name of it."""

Tokenize = Callable[[list[str]], "torch.Tensor"]


def build(spec: ModelSpec, weights: str, precision: str) -> tuple[Any, Tokenize]:
    """Returns a network and its tokenizer.

    Args:
      spec: from ``modelspec.resolve``.
      weights: local path of its weights, from ``modelfiles.locate``.
      precision: one of ``PRECISIONS``.

    Raises:
      InputError: the weights are damaged, or those of another network.
    """
    import open_clip

    if spec.kind == "tinyclip":
        network = tinyclip.build().to(dtype=open_clip.get_input_dtype(PRECISIONS[precision]))
        return network, tinyclip.tokenizer()
    if spec.kind == "timm":
        tower = timm_model.build(spec.source, weights)
        return tower.to(dtype=open_clip.get_input_dtype(PRECISIONS[precision])), _no_text
    if spec.kind in ("tag", "file"):
        name, pretrained = spec.source, weights if spec.kind == "file" else spec.weights
    elif spec.kind == "hub":
        name, pretrained = f"hf-hub:{spec.source}", None
    else:
        name, pretrained = f"local-dir:{os.path.dirname(weights)}", None
    changes = _moved_text_tower(os.path.dirname(weights)) if spec.kind == "folder" else {}
    with weight_files.reading(spec.name, weights):
        network = open_clip.create_model(
            name, pretrained, precision=PRECISIONS[precision], require_pretrained=True, **changes
        )
    return network.eval(), open_clip.get_tokenizer(name)


def _no_text(texts: list[str]) -> torch.Tensor:
    raise TypeError(f"a network without a text tower was given {len(texts)} captions")


def _moved_text_tower(folder: str) -> dict[str, Any]:
    """Returns what to change of a folder's configuration when it carries its own text tower's: its present place.

    ``winnow train-filter`` writes such folders; open_clip itself looks only where the configuration points.
    """
    text_cfg = json.loads(Path(folder, "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if "hf_model_name" in text_cfg and Path(folder, "config.json").is_file():
        return {"text_cfg": {**text_cfg, "hf_model_name": folder, "hf_model_pretrained": False}}
    return {}
