"""Where the files of a network are: on this machine, at an address, or on a hub; and what its configuration says."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import timm_model, tinyclip

if TYPE_CHECKING:
    from transforms.lib.models.spec import ModelSpec, ParsedModel

Fetch = Callable[[str], str]

WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)  # in open_clip's own order of preference
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}  # open_clip's defaults, which are OpenAI CLIP's (Radford et al. 2021)


def local_only(uri: str) -> str:
    """Returns a local path as it is.

    Raises:
      InputError: the address is remote, and nobody gave a way to fetch it.
    """
    if "://" in uri:
        raise InputError(f"{uri} is remote; give a local path")
    return uri


def locate(spec: ParsedModel | ModelSpec, fetch: Fetch) -> tuple[dict[str, Any], str]:
    """Returns a model's open_clip configuration and the local path of its weights, downloading what is remote.

    Raises:
      InputError: something is absent or cannot be reached; the message says what to do.
    """
    if spec.kind == "tinyclip":
        return tinyclip.config(), ""
    if spec.kind == "hub":
        return _from_hub(spec)
    if spec.kind == "tag":
        return _from_tag(spec)
    if spec.kind == "folder":
        return _from_folder(spec, fetch)
    if spec.kind == "timm":
        return timm_model.config(spec.source), _fetched(spec, spec.weights, fetch)
    return {"model_cfg": builtin(spec.source)}, _fetched(spec, spec.weights, fetch)


def builtin(arch: str) -> dict[str, Any]:
    """Returns the configuration that open_clip ships of an architecture."""
    found = importlib.util.find_spec("open_clip")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / "model_configs" / f"{arch}.json"
    return dict(json.loads(path.read_text()))


def architectures() -> list[str]:
    """Returns the architectures that open_clip ships a configuration of, sorted; open_clip is not imported."""
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        return []
    return sorted(path.stem for path in Path(found.submodule_search_locations[0]).glob("model_configs/*.json"))


def _fetched(spec: ParsedModel | ModelSpec, uri: str, fetch: Fetch) -> str:
    try:
        path = fetch(uri)
    except OSError as error:
        raise InputError(f"--model {spec.name}: {uri} cannot be read ({error}); check the address") from None
    if not os.path.exists(path):
        raise InputError(f"--model {spec.name}: {uri} does not exist; check the address")
    return path


def _from_folder(spec: ParsedModel | ModelSpec, fetch: Fetch) -> tuple[dict[str, Any], str]:
    folder = Path(_fetched(spec, spec.source, fetch))
    config = folder / "open_clip_config.json"
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not config.is_file() or not weights:
        lacking = "open_clip_config.json" if not config.is_file() else f"weights ({WEIGHTS[0]})"
        raise InputError(
            f"--model {spec.name}: the folder {spec.source} has no {lacking}; it is open_clip's local-dir form"
        )
    try:
        return dict(json.loads(config.read_text())), str(weights[0])
    except ValueError as error:
        raise InputError(f"--model {spec.name}: {spec.source}/open_clip_config.json is not JSON ({error})") from None


def _unreachable(spec: ParsedModel | ModelSpec, what: str, error: Exception) -> InputError:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return InputError(
        f"--model {spec.name}: {what} is not in the local cache and the hub cannot be reached ({cause}); download it "
        "on a connected machine and give the folder as --model, or set HF_HOME to a cache that holds it"
    )


def _hub_errors() -> tuple[type[Exception], ...]:
    """Returns what a download raises: of the hub's client, of the HTTP library it is built on, and of the system.

    open_clip raises ``RuntimeError`` for a file whose digest is wrong.
    """
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    http = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    return (OSError, ValueError, RuntimeError, EntryNotFoundError, *http)


def _from_hub(spec: ParsedModel | ModelSpec) -> tuple[dict[str, Any], str]:
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    try:
        config = hf_hub_download(spec.source, "open_clip_config.json")
        weights = download_pretrained_from_hf(spec.source)
    except _hub_errors() as error:
        raise _unreachable(spec, f"hf-hub:{spec.source}", error) from None
    return dict(json.loads(Path(config).read_text())), str(weights)


def _from_tag(spec: ParsedModel | ModelSpec) -> tuple[dict[str, Any], str]:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model

    tag = get_pretrained_cfg(spec.source, spec.weights)
    if not tag:
        known = list_pretrained_tags_by_model(spec.source)
        near = similar.nearest(spec.weights, known, 3) or known
        raise ConfigError(f"--model {spec.source}/{spec.weights}: no such weights; there are {', '.join(near)}")
    try:
        weights = download_pretrained(tag)
    except _hub_errors() as error:
        raise _unreachable(spec, f"{spec.source}/{spec.weights}", error) from None
    seen = {name: tag[name] for name in PREPROCESS if tag.get(name) is not None}
    return {"model_cfg": builtin(spec.source), "preprocess_cfg": seen}, str(weights)
