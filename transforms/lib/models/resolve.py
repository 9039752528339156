"""The values of ``--model``, and how one becomes a network whose weights are pinned by their sha256."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable

from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import checkpoints, published, tinyclip, trained_with
from transforms.lib.models.locate import Fetch, Located, local_only, locate
from transforms.lib.models.spec import PARTS, ModelSpec, ParsedModel
from transforms.lib.registry import SCORERS
from transforms.lib.stamps import sha256_of, stamp


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
    if parsed.kind == "timm":
        if part == "text":
            raise ConfigError(f"--model {text}: a network of timm has no text tower; write {spec}")
        part = "image"
    if parsed.kind == "plugin":
        if part:
            raise ConfigError(f"--model {text}: a scorer gives one number per image and has no tower; write {spec}")
        part = parsed.part
    column_set = (
        name
        if given
        else "_".join(filter(None, (_name_of(spec), part if parsed.kind not in ("timm", "plugin") else "")))
    )
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
    if spec.startswith("timm:"):
        return _parse_timm(spec)
    if "@" in spec:
        return _parse_file(spec)
    if spec.startswith("local-dir:") or "://" in spec or spec.startswith((".", "/", "~")) or os.path.isdir(spec):
        return ParsedModel("", "folder", os.path.expanduser(spec.removeprefix("local-dir:")).rstrip("/"))
    if spec in (scorers := SCORERS.every()):
        return ParsedModel("", "plugin", spec, part="score")
    arch, slash, tag = spec.partition("/")
    _check_architecture(arch, spec, scorers)
    if not slash or not tag:
        raise ConfigError(f"--model {spec}: name the weights too, {arch}/TAG; `winnow models` lists the tags")
    return ParsedModel("", "tag", arch, tag)


def _parse_file(spec: str) -> ParsedModel:
    arch, weights, pin, options = _pinned(spec)
    _check_architecture(arch, spec)
    trained_with.options_of(options)
    return ParsedModel("", "file", arch, weights, pin, options=options)


def _parse_timm(spec: str) -> ParsedModel:
    name, weights, pin, options = _pinned(spec)
    if options:
        raise ConfigError(f"--model {spec}: timm itself says how a network was trained; leave {options} out")
    if not re.fullmatch(r"timm:[a-z0-9_]+(\.[a-z0-9_]+)?(/[1-9][0-9]{0,3})?", name):
        raise ConfigError(f"--model {spec}: write timm:NAME@FILE#sha256=HEX, or timm:NAME/SIDE@... for another side")
    return ParsedModel("", "timm", name.removeprefix("timm:"), weights, pin)


def _pinned(spec: str) -> tuple[str, str, str, str]:
    """Returns architecture, path, digest and options of ``ARCH@FILE#sha256=HEX,NAME=VALUE,...``."""
    arch, _, rest = spec.partition("@")
    weights, _, pinned = rest.partition("#sha256=")
    pin, _, options = pinned.partition(",")
    if not re.fullmatch(r"[0-9a-f]{64}", pin):
        raise ConfigError(f"--model {spec}: pin the weights file, {arch}@FILE#sha256=64 hex digits (`sha256sum FILE`)")
    return arch, os.path.expanduser(weights), pin, options


def _name_of(spec: str) -> str:
    if spec.startswith("timm:"):
        return re.sub(r"[^a-z0-9]+", "_", spec.removeprefix("timm:").partition("@")[0]).strip("_")
    plain = spec.split("#")[0].removeprefix("hf-hub:").removeprefix("local-dir:").rstrip("/")
    parts = (
        plain.split("/")[-2:] if "://" not in spec and not spec.startswith((".", "/", "~")) else plain.split("/")[-1:]
    )
    return re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def _check_architecture(arch: str, spec: str, others: Iterable[str] = ()) -> None:
    known = published.architectures()
    if arch not in known:
        hint = similar.did_you_mean(arch, [*known, "tinyclip", *others], most=2)
        lists = "`winnow models` lists what can be given"
        raise ConfigError(f"--model {spec}: {arch!r} is unknown; {f'{hint} {lists}'.strip()}")


def resolve(parsed: ParsedModel, *, fetch: Fetch = local_only, variant: str = "exact") -> ModelSpec:
    """Returns the specification of ``find``."""
    return find(parsed, fetch=fetch, variant=variant)[0]


def find(parsed: ParsedModel, *, fetch: Fetch = local_only, variant: str = "exact") -> tuple[ModelSpec, Located]:
    """Finds the files of a model on the driver, hashes them, and reads how it was trained.

    Args:
      parsed: from ``parse_model``.
      fetch: address of a file or folder -> local path.
      variant: of the image preprocessing, one of ``preprocessing.VARIANTS``.

    Returns:
      the specification, and where the files are, with a note for the user.

    Raises:
      ConfigError: it is not clear how the model was trained.
      InputError: weights or configuration are absent, unreadable, not those that were pinned, or name code.
    """
    found = locate(parsed, fetch)
    digest = tinyclip.weights_sha256() if parsed.kind == "tinyclip" else sha256_of(found.weights)
    if parsed.sha256 and digest != parsed.sha256:
        raise InputError(f"--model {parsed.name}: {parsed.weights} has sha256 {digest}, not the pinned {parsed.sha256}")
    if parsed.kind != "tinyclip":
        checkpoints.check(parsed.name, found.weights)
    size = found.config["model_cfg"]["vision_cfg"].get("image_size", 224)
    made_by = {**trained_with.PREPROCESS, **found.config.get("preprocess_cfg", {}), "size": size, "variant": variant}
    spec = ModelSpec(
        name=parsed.name,
        kind=parsed.kind,
        source=parsed.source,
        weights=parsed.weights,
        weights_sha256=digest,
        preprocess=stamp(**made_by),
        dim=int(found.config["model_cfg"]["embed_dim"]),
        image_size=size if isinstance(size, int) else int(size[0]),
        variant=variant,
        part=parsed.part,
        options=parsed.options,
        files=found.digest(),
    )
    return spec, found


def known_models() -> list[str]:
    """Returns a line for everything that ``--model`` takes; nothing is downloaded."""
    forms = [
        "[NAME=]SPEC, where NAME is the column set and SPEC is one of:",
        "  tinyclip                        the tiny network that ships with Winnow (default; needs winnow-beam[demo])",
        "  hf-hub:ORGANISATION/NAME        an open_clip model on the hub, for example hf-hub:apple/DFN2B-CLIP-ViT-B-16",
        "  FOLDER                          open_clip's local-dir form, local or gs://: configuration and weights",
        "  ARCH@FILE#sha256=HEX            an architecture and a weights file, local or gs://, .safetensors or .pt",
        "  ARCH@FILE#sha256=HEX,as=TAG     the same, trained as these published weights of the architecture, or with",
        "  ...,mean=M,std=S,interpolation=bicubic|bilinear,resize=shortest|longest|squash",
        "  timm:NAME[/SIDE]@FILE#sha256=HEX  an image network of timm, such as DINOv2: its embeddings, and no score",
        "  image:SPEC, text:SPEC           the embeddings of one tower of any of these, and no score",
        "  ARCH/TAG                        an architecture and published weights:",
    ]
    scorers = [f"  {name:<31} a number per image: docs/scoring.md" for name in SCORERS]
    scorers += [f"  {one.name}  scorer of {one.package}: a number per image" for one in SCORERS.plugins.values()]
    return forms[:-1] + scorers + forms[-1:] + [f"    {arch}/{tag}" for arch, tag in published.all_tags()]
