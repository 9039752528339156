"""Image networks of timm, such as DINOv2, as towers of a model that has no text: their embeddings are columns too.

What a network sees is timm's own evaluation transform (``timm.data.create_transform``), and its embedding is what timm
gives without a classifier: the pooled features before the head.
"""

from __future__ import annotations

import threading
from typing import Any

from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import checkpoints

_LOADING = threading.Lock()


def parts(source: str) -> tuple[str, int]:
    """Returns name and side in pixels of ``NAME`` or ``NAME/SIDE``; 0 for the network's own side."""
    name, _, side = source.partition("/")
    return name, int(side or 0)


def config(source: str) -> dict[str, Any]:
    """Returns what ``clip.wrap`` needs to know of a network, in the form of an open_clip configuration.

    Args:
      source: ``NAME`` or ``NAME/SIDE``, NAME with or without the tag of its weights.

    Raises:
      ConfigError: timm has no such network.
      InputError: timm or torch is not installed.
    """
    try:
        import timm
        import torch
    except ImportError as error:
        raise InputError(f"--model timm:{source}: {error}; start the job where timm and torch are installed") from None

    name, side = parts(source)
    if not timm.is_model(name):
        hint = similar.did_you_mean(name, timm.list_models(), "`timm.list_models()` names all", 3)
        raise ConfigError(f"--model timm:{source}: {name!r} is unknown to timm {timm.__version__}; {hint}")
    with torch.device("meta"):
        network = timm.create_model(name, pretrained=False, num_classes=0, **_sized(name, side))
    seen = timm.data.resolve_data_config({}, model=network)
    preprocess = {"mean": list(seen["mean"]), "std": list(seen["std"]), "interpolation": seen["interpolation"]}
    preprocess |= {"resize_mode": "timm", "crop_pct": seen["crop_pct"], "crop_mode": seen["crop_mode"]}
    width = int(getattr(network, "head_hidden_size", None) or network.num_features)
    vision = {"image_size": side or int(seen["input_size"][-1])}
    return {"model_cfg": {"embed_dim": width, "vision_cfg": vision}, "preprocess_cfg": preprocess}


def build(source: str, weights: str) -> Any:
    """Returns a network with the weights of a file, its position embedding fitted to the side, in evaluation mode.

    A pickle in the file is loaded by torch with ``weights_only``.

    Args:
      source: as for ``config``.
      weights: local path, .safetensors or .pth, of the whole network or without its head.

    Raises:
      InputError: the file is damaged, or of another network: a weight is missing, of another shape, or one too many
        that is none of the classifier's.
    """
    import torch

    class ImageTower(torch.nn.Module):
        """A timm network with the method that open_clip's networks have."""

        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def encode_image(self, images: torch.Tensor, normalize: bool = False) -> torch.Tensor:
            """Returns ``[n, dim]`` of images ``[n, 3, side, side]``."""
            found: torch.Tensor = self.network(images)
            return torch.nn.functional.normalize(found, dim=-1) if normalize else found

    return ImageTower(_loaded(source, weights)).eval()


def _loaded(source: str, weights: str) -> Any:
    """Returns timm's network with all of its weights; timm itself leaves out, without a word, what does not fit.

    timm renames the weights of other publications and cuts the classifier off on its way to ``load_state_dict``, whose
    answer it only logs; so it is listened to there.
    """
    import timm
    import torch

    name, side = parts(source)
    with torch.device("meta"):
        kind: Any = type(timm.create_model(name, pretrained=False, num_classes=0, **_sized(name, side)))
    whole = f"timm:{source}"
    as_file = weights.endswith(".npz")  # of big_vision, which timm opens by numpy and without pickles
    where: dict[str, Any] = {"file": weights} if as_file else {"state_dict": checkpoints.read(whole, weights)}
    where |= {"url": "", "hf_hub_id": None}
    load, found = kind.load_state_dict, []

    def noted(*args: Any, **more: Any) -> Any:
        found.append(load(*args, **more))
        return found[-1]

    with _LOADING, checkpoints.reading(whole, weights):
        kind.load_state_dict = noted
        try:
            network = timm.create_model(
                name, pretrained=True, num_classes=0, pretrained_cfg_overlay=where, **_sized(name, side)
            )
            network.pretrained_cfg.pop("state_dict", None)
        finally:
            kind.load_state_dict = load
    head = _head(network.pretrained_cfg["classifier"])
    for missing, unexpected in found:
        checkpoints.check_names(whole, missing, [name for name in unexpected if name.split(".")[0] not in head])
    return network


def _head(classifier: str | tuple[str, ...] | None) -> set[str]:
    """Returns the names of the modules that the classifiers of a network are in."""
    names = (classifier,) if isinstance(classifier, str) else classifier or ()
    return {name.split(".")[0] for name in names}


def _sized(name: str, side: int) -> dict[str, Any]:
    """Returns the argument for another side than the network's own; only networks of a fixed side take one."""
    from timm.models import get_pretrained_cfg

    seen = get_pretrained_cfg(name)
    return {"img_size": side} if side and seen is not None and seen.fixed_input_size else {}
