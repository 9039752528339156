"""What ``--model`` can be told, and how it becomes a network whose weights are pinned by their sha256."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transforms.lib import tinyclip
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.stamps import stamp

Fetch = Callable[[str], str]

WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)  # in open_clip's own order of preference
PARTS = ("image", "text")
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}  # open_clip's defaults, which are OpenAI CLIP's (Radford et al. 2021)


@dataclasses.dataclass(frozen=True)
class ParsedModel:
    """``--model`` taken apart.

    Attributes:
      name: of the column set.
      kind: ``tinyclip``, ``tag``, ``hub``, ``folder`` or ``file``.
      source: architecture (tag, file), hub id or folder; empty for tinyclip.
      weights: pretrained tag, or address of the weights file.
      sha256: that the user pinned; empty when not.
      part: ``image`` or ``text`` for that tower alone; empty for both.
    """

    name: str
    kind: str
    source: str = ""
    weights: str = ""
    sha256: str = ""
    part: str = ""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A network, found and pinned: what a worker needs to load exactly the same one.

    Attributes:
      name: of the column set.
      kind: as in ``ParsedModel``.
      source: as in ``ParsedModel``.
      weights: as in ``ParsedModel``.
      weights_sha256: of the weights; workers refuse any other.
      preprocess: fingerprint of the image preprocessing, its variant included.
      dim: of the embeddings.
      image_size: pixels of the square input.
      variant: of the preprocessing, one of ``pixelviews.VARIANTS``.
      part: as in ``ParsedModel``.
    """

    name: str
    kind: str
    source: str
    weights: str
    weights_sha256: str
    preprocess: str
    dim: int
    image_size: int
    variant: str = "exact"
    part: str = ""


def local_only(uri: str) -> str:
    """Returns a local path as it is.

    Raises:
      InputError: the address is remote, and nobody gave a way to fetch it.
    """
    if "://" in uri:
        raise InputError(f"{uri} is remote; give a local path")
    return uri


def parse_model(text: str) -> ParsedModel:
    """Takes ``[NAME=]SPEC`` apart without importing a model library.

    Raises:
      ConfigError: it is none of the forms of ``known_models``.
    """
    name, given, spec = "", False, text
    if re.match(r"^[A-Za-z0-9_]+=", text):
        name, _, spec = text.partition("=")
        given = True
    part = next((part for part in PARTS if spec.startswith(f"{part}:")), "")
    spec = spec.removeprefix(f"{part}:")
    parsed = _parse_spec(spec)
    column_set = name if given else "_".join(filter(None, (_name_of(spec), part)))
    if not re.fullmatch(r"[a-z0-9_]+", column_set):
        raise ConfigError(f"--model {text}: the name {column_set!r} must be lower-case letters, digits and _")
    return dataclasses.replace(parsed, name=column_set, part=part)


def _parse_spec(spec: str) -> ParsedModel:
    if spec == "tinyclip":
        return ParsedModel("", "tinyclip")
    if spec.startswith("hf-hub:"):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", spec[7:]):
            raise ConfigError(f"--model {spec}: write hf-hub:ORGANISATION/NAME")
        return ParsedModel("", "hub", spec[7:])
    if "@" in spec:
        return _parse_file(spec)
    if spec.startswith("local-dir:") or "://" in spec or spec.startswith((".", "/", "~")) or os.path.isdir(spec):
        return ParsedModel("", "folder", os.path.expanduser(spec.removeprefix("local-dir:")).rstrip("/"))
    arch, slash, tag = spec.partition("/")
    _check_architecture(arch, spec)
    if not slash or not tag:
        raise ConfigError(f"--model {spec}: name the weights too, {arch}/TAG; `winnow models` lists the tags")
    return ParsedModel("", "tag", arch, tag)


def _parse_file(spec: str) -> ParsedModel:
    arch, _, rest = spec.partition("@")
    weights, _, pin = rest.partition("#sha256=")
    _check_architecture(arch, spec)
    if not re.fullmatch(r"[0-9a-f]{64}", pin):
        raise ConfigError(f"--model {spec}: pin the weights file, {arch}@FILE#sha256=64 hex digits (`sha256sum FILE`)")
    return ParsedModel("", "file", arch, os.path.expanduser(weights), pin)


def _name_of(spec: str) -> str:
    plain = spec.split("#")[0].removeprefix("hf-hub:").removeprefix("local-dir:").rstrip("/")
    parts = (
        plain.split("/")[-2:] if "://" not in spec and not spec.startswith((".", "/", "~")) else plain.split("/")[-1:]
    )
    return re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def architectures() -> list[str]:
    """Returns the architectures that open_clip ships a configuration of, sorted; open_clip is not imported."""
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        return []
    return sorted(path.stem for path in Path(found.submodule_search_locations[0]).glob("model_configs/*.json"))


def _check_architecture(arch: str, spec: str) -> None:
    known = architectures()
    if arch not in known:
        near = difflib.get_close_matches(arch, [*known, "tinyclip"], 2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"--model {spec}: {arch!r} is unknown; {hint}`winnow models` lists what can be given")


def resolve(parsed: ParsedModel, *, fetch: Fetch = local_only, variant: str = "exact") -> ModelSpec:
    """Finds the weights of a model on the driver, hashes them, and reads size and preprocessing.

    Args:
      parsed: from ``parse_model``.
      fetch: address of a file or folder -> local path.
      variant: of the image preprocessing, one of ``pixelviews.VARIANTS``.

    Raises:
      InputError: weights or configuration are absent, unreadable, or not those that were pinned.
    """
    config, weights = locate(parsed, fetch)
    digest = tinyclip.weights_sha256() if parsed.kind == "tinyclip" else sha256_of(weights)
    if parsed.sha256 and digest != parsed.sha256:
        raise InputError(f"--model {parsed.name}: {parsed.weights} has sha256 {digest}, not the pinned {parsed.sha256}")
    size = config["model_cfg"]["vision_cfg"].get("image_size", 224)
    square = size if isinstance(size, int) else int(size[0])
    made_by = {**PREPROCESS, **config.get("preprocess_cfg", {}), "size": size, "variant": variant}
    return ModelSpec(
        name=parsed.name,
        kind=parsed.kind,
        source=parsed.source,
        weights=parsed.weights,
        weights_sha256=digest,
        preprocess=stamp(**made_by),
        dim=int(config["model_cfg"]["embed_dim"]),
        image_size=square,
        variant=variant,
        part=parsed.part,
    )


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
    return {"model_cfg": builtin(spec.source)}, _fetched(spec, spec.weights, fetch)


def builtin(arch: str) -> dict[str, Any]:
    """Returns the configuration that open_clip ships of an architecture."""
    found = importlib.util.find_spec("open_clip")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]) / "model_configs" / f"{arch}.json"
    return dict(json.loads(path.read_text()))


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


def _from_hub(spec: ParsedModel | ModelSpec) -> tuple[dict[str, Any], str]:
    from huggingface_hub import hf_hub_download
    from open_clip.pretrained import download_pretrained_from_hf

    try:
        config = hf_hub_download(spec.source, "open_clip_config.json")
        weights = download_pretrained_from_hf(spec.source)
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's errors
        raise _unreachable(spec, f"hf-hub:{spec.source}", error) from None
    return dict(json.loads(Path(config).read_text())), str(weights)


def _from_tag(spec: ParsedModel | ModelSpec) -> tuple[dict[str, Any], str]:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg, list_pretrained_tags_by_model

    tag = get_pretrained_cfg(spec.source, spec.weights)
    if not tag:
        known = list_pretrained_tags_by_model(spec.source)
        near = difflib.get_close_matches(spec.weights, known, 3) or known
        raise ConfigError(f"--model {spec.source}/{spec.weights}: no such weights; there are {', '.join(near)}")
    try:
        weights = download_pretrained(tag)
    except Exception as error:  # as above
        raise _unreachable(spec, f"{spec.source}/{spec.weights}", error) from None
    known = {name: tag[name] for name in PREPROCESS if tag.get(name) is not None}
    return {"model_cfg": builtin(spec.source), "preprocess_cfg": known}, str(weights)


def sha256_of(path: str) -> str:
    """Returns the 64 hex digits of a local file's sha256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_models() -> list[str]:
    """Returns a line for everything that ``--model`` takes; nothing is downloaded."""
    import open_clip

    forms = [
        "[NAME=]SPEC, where NAME is the column set and SPEC is one of:",
        "  tinyclip                        the tiny network that ships with Winnow (default; needs winnow-beam[demo])",
        "  hf-hub:ORGANISATION/NAME        an open_clip model on the hub, for example hf-hub:apple/DFN2B-CLIP-ViT-B-16",
        "  FOLDER                          open_clip's local-dir form, local or gs://: configuration and weights",
        "  ARCH@FILE#sha256=HEX            an architecture and a weights file, local or gs://, .safetensors or .pt",
        "  image:SPEC, text:SPEC           the embeddings of one tower of any of these, and no score",
        "  ARCH/TAG                        an architecture and published weights:",
    ]
    return forms + [f"    {arch}/{tag}" for arch, tag in open_clip.list_pretrained()]
