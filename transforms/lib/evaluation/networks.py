"""What ``evaluate --model`` names: a small network of Winnow's, an architecture of open_clip, or a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import building, locate, published
from transforms.lib.models.locate import Located

TINY = "tiny"
"""A ResNet of 32 pixels and a transformer of one layer: 55 CPU seconds for 50,000 samples seen."""

_TINY: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16, "patch_size": None},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 1},
}


def find(name: str) -> Located:
    """Returns the configuration of a network without weights.

    Args:
      name: ``tiny``, an architecture that open_clip ships, or the path of a JSON file in open_clip's form:
        ``embed_dim``, ``vision_cfg`` and ``text_cfg``, alone or as ``model_cfg`` beside ``preprocess_cfg``.

    Raises:
      ConfigError: there is no such architecture, or the file is unusable.
    """
    if name == TINY:
        return Located({"model_cfg": _TINY})
    if name.endswith(".json"):
        return Located(_read(name))
    known = published.architectures()
    if name in known:
        return locate.architecture(name)
    hint = similar.did_you_mean(name, [TINY, *known], most=2)
    raise ConfigError(f"--model {name}: no such architecture; {hint} give {TINY}, one of open_clip, or a .json file")


def _read(path: str) -> dict[str, Any]:
    try:
        config = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--model {path} cannot be read ({error}); it is open_clip's configuration as JSON") from None
    config = config if isinstance(config, dict) else {}
    config = config if "model_cfg" in config else {"model_cfg": config}
    lacking = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in (config["model_cfg"] or {})]
    if lacking:
        raise InputError(f"--model {path} lacks {', '.join(lacking)}; it is open_clip's configuration as JSON")
    if any(
        key.startswith(("hf_", "timm_"))
        for part in config["model_cfg"].values()
        if isinstance(part, dict)
        for key in part
    ):
        raise InputError(f"--model {path} names parts of other libraries; name an architecture of open_clip instead")
    return dict(config)


def build(found: Located, seed: int) -> Any:
    """Returns a network of random weights, a function of the configuration and the seed.

    Raises:
      ConfigError: open_clip does not build such a network.
    """
    import torch

    torch.manual_seed(seed)
    try:
        return building.empty(found)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise ConfigError(f"--model: open_clip builds no such network ({error}); see its model_configs") from None
