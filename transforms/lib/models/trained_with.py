"""What a network was trained with, by what is known of it: activation, and how its images were prepared.

A network that runs with another activation, mean, deviation, resizing or interpolation than in its training gives a
score, and nothing shows that it is a wrong one. So everything that decides it is found here, for every kind of
``--model``: a folder and a hub's model say it in their configuration, a tag in open_clip's list of published weights.
Of a weights file it is that of the published weights of its architecture, where these agree, or what the user says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import published

PREPROCESS: dict[str, Any] = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}  # open_clip's defaults, which are OpenAI CLIP's (Radford et al. 2021)
CHOICES = {"interpolation": ("bicubic", "bilinear"), "resize_mode": ("shortest", "longest", "squash")}
_PLAIN = ("mean", "std", "interpolation", "resize_mode")


class Trained(NamedTuple):
    """A network as it was trained.

    Attributes:
      config: in open_clip's form, ``model_cfg`` and ``preprocess_cfg``: what will run.
      note: a line that says what was taken where the user did not say it; empty where the user did.
    """

    config: dict[str, Any]
    note: str = ""


def of_tag(model: str, arch: str, tag: str) -> Trained:
    """Returns a published network as open_clip's list says that it was trained.

    Weights of QuickGELU are listed under architectures of GELU too; they run with QuickGELU.

    Raises:
      ConfigError: there is no such tag; or the list and the architecture contradict one another.
    """
    known = published.tags(arch)
    name = tag.lower().replace("-", "_")  # as open_clip reads them
    if name not in known:
        near = similar.nearest(tag, list(known), 3) or list(known)
        raise ConfigError(f"--model {arch}/{tag}: no such weights; there are {', '.join(near) or 'none published'}")
    return _as_tag(model, arch, name, known[name])


def _as_tag(model: str, arch: str, tag: str, facts: Mapping[str, Any]) -> Trained:
    config, note = published.builtin(arch), ""
    quick = bool(facts.get("quick_gelu"))
    if quick and not config.get("quick_gelu"):
        config["quick_gelu"] = True
        note = f"--model {model}: {arch}/{tag} was trained with QuickGELU, and runs with it (as {arch}-quickgelu/{tag})"
    if config.get("quick_gelu") and not quick:
        place = str(facts.get("hf_hub", "")).strip("/")
        hint = f"name its own configuration: hf-hub:{place}" if place else "give a folder with its configuration"
        raise ConfigError(f"--model {arch}/{tag}: its list says GELU, its architecture says QuickGELU; {hint}")
    seen = {name: facts[name] for name in PREPROCESS if facts.get(name) is not None}
    return Trained({"model_cfg": config, "preprocess_cfg": seen}, note)


def of_file(model: str, arch: str, options: str = "", sha256: str = "") -> Trained:
    """Returns an architecture with weights of a file, prepared as its published weights, or as the user says.

    Args:
      model: name of the model, for messages.
      arch: name of an architecture that open_clip ships.
      options: ``name=value,...`` as ``options_of`` reads them; empty to find out.
      sha256: of the weights; published ones are known by it.

    Raises:
      ConfigError: published weights of the architecture differ in their preparation, and the user says nothing.
    """
    given = options_of(options)
    known = published.tags(arch)
    alike = given.pop("as", "") or (published.tag_of(arch, sha256) if not given else "")
    if alike and alike not in known:
        raise ConfigError(f"--model {model}: as={alike}: {arch} has no such weights; there are {', '.join(known)}")
    if alike:
        trained = _as_tag(model, arch, alike, known[alike])
        note = f"--model {model}: activation and preparation of images are those of {arch}/{alike}"
        return Trained(trained.config, f"{note} ({_told(trained.config)})")
    ways = {_told({"preprocess_cfg": facts}): tag for tag, facts in known.items()}
    if not given and len(ways) > 1:
        options_text = "; or ".join(f"as={tag}: {way}" for way, tag in ways.items())
        raise ConfigError(
            f"--model {model}: published weights of {arch} differ in how images were prepared, so say which way these "
            f"were, behind the digest: #sha256=HEX,as=TAG ({options_text}); or name mean, std, interpolation and resize"
        )
    tag = next(iter(ways.values()), "")
    seen = {name: known[tag][name] for name in _PLAIN} if tag else {}
    config = {"model_cfg": published.builtin(arch), "preprocess_cfg": {**seen, **given}}
    origin = f"as for {arch}/{tag}" if tag else "by open_clip's defaults, nothing being published of it"
    note = "" if len(given) == len(_PLAIN) else f"--model {model}: images are prepared {origin} ({_told(config)})"
    return Trained(config, note)


def of_config(model: str, source: str, config: Mapping[str, Any]) -> Trained:
    """Returns the network of a folder or of a hub's model, whose configuration says how it was trained.

    Raises:
      InputError: the preparation of images that it names is none that open_clip knows.
    """
    seen = {name: value for name, value in dict(config.get("preprocess_cfg") or {}).items() if value is not None}
    for name, allowed in CHOICES.items():
        if name in seen and seen[name] not in allowed:
            raise InputError(
                f"--model {model}: open_clip_config.json of {source} has {name} {seen[name]!r}; "
                f"it must be one of {', '.join(allowed)}"
            )
    for name in ("mean", "std"):
        if name in seen:
            seen[name] = _three(model, f"open_clip_config.json of {source}", name, seen[name])
    trained = {**config, "preprocess_cfg": seen}
    if "mean" in seen and "std" in seen:
        return Trained(trained)
    told = f"names no mean or no std; open_clip's defaults are taken ({_told(trained)})"
    return Trained(trained, f"--model {model}: the preprocess_cfg of {source} {told}")


def options_of(text: str) -> dict[str, Any]:
    """Returns what the user says of a weights file: ``as=TAG``, or any of mean, std, interpolation and resize.

    Args:
      text: such as ``mean=0.5,std=0.5,interpolation=bilinear,resize=squash``; three numbers are joined by ``:``.

    Raises:
      ConfigError: another name, or a value that it cannot have.
    """
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        key = "resize_mode" if name == "resize" else name
        if key in CHOICES and value in CHOICES[key]:
            found[key] = value
        elif key in ("mean", "std"):
            found[key] = _three("", "#sha256=HEX,...", name, value.split(":"))
        elif key == "as" and value:
            found[key] = value
        else:
            allowed = f"one of {', '.join(CHOICES[key])}" if key in CHOICES else "a tag"
            known = f"{name} must be {allowed}" if key in (*CHOICES, "as") else f"{name!r} is unknown"
            raise ConfigError(f"--model: {part}: {known}; there are as, mean, std, interpolation and resize")
    if "as" in found and len(found) > 1:
        raise ConfigError(f"--model: {text}: as=TAG says all of it; leave the others out")
    return found


def _three(model: str, where: str, name: str, value: Any) -> list[float]:
    """Returns a mean or deviation as three numbers."""
    try:
        numbers = [float(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (1, 3) or not all(abs(one) < 256 for one in numbers) or (name == "std" and 0 in numbers):
        raise InputError(f"--model {model}: {where}: {name} {value!r} must be one number, or three; a std is not 0")
    return numbers * (3 // len(numbers))


def _told(config: Mapping[str, Any]) -> str:
    """Returns how images are prepared, in words."""
    seen = {**PREPROCESS, **config["preprocess_cfg"]}
    mean, std = (":".join(f"{value:g}" for value in seen[name]) for name in ("mean", "std"))
    return f"mean {mean}, std {std}, {seen['interpolation']}, resize {seen['resize_mode']}"


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what decides the scores of a network beside its weights, in plain words.

    Args:
      config: of ``Trained``.
    """
    model, text = config["model_cfg"], config["model_cfg"].get("text_cfg", {})
    seen = {**PREPROCESS, **(config.get("preprocess_cfg") or {})}
    return {
        "activation": "QuickGELU" if model.get("quick_gelu") else "GELU",
        **{name: json.loads(json.dumps(seen[name])) for name in _PLAIN},
        "image_size": model["vision_cfg"].get("image_size", 224),
        "tokenizer": text.get("hf_tokenizer_name") or "CLIP's own",
        "context_length": text.get("context_length", 77),
    }
