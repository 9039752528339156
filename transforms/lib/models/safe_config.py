"""What a model's configuration may ask for: the parts of a network, and nothing that fetches or runs.

transformers runs the Python of a model folder when ``trust_remote_code`` reaches it, and asks on the terminal when a
file has an ``auto_map``; timm and transformers fetch from a hub what a name of a certain form names. So a configuration
is read here before any library sees it, and what is not known is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from transforms.lib.errors import InputError
from transforms.lib.models import published

TOKENIZER_ARGUMENTS: dict[str, type] = {
    "clean": str,
    "strip_sep_token": bool,
    "language": str,
    "use_fast": bool,
    "legacy": bool,
    "add_bos_token": bool,
    "add_eos_token": bool,
    "do_lower_case": bool,
    "padding_side": str,
    "model_max_length": int,
}  # open_clip's own, and those of transformers that change no more than how a text becomes tokens
CLEANINGS = ("whitespace", "lower", "canonicalize")
HUB_NAME = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"
_TIMM_NAME = r"[a-z0-9_]+(\.[a-z0-9_]+)?"
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines", "quantization_config", "backbone", "kernel_config")
_WORDS = ("attn_implementation", "experts_implementation")  # ``OWNER/NAME`` fetches a kernel and runs it
_HINT = "remove it, or use a model of open_clip's own parts"


def check_model(model: str, source: str, config: Any) -> None:
    """Checks a model's open_clip configuration.

    Args:
      model: name of the model, for messages.
      source: where the configuration is from, for messages.
      config: as parsed.

    Raises:
      InputError: it names code, something to fetch, an argument that is not known, or is no configuration at all.
    """
    where = f"--model {model}: open_clip_config.json of {source}"
    parts = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(parts, dict) or not all(isinstance(parts.get(name), dict) for name in ("vision_cfg", "text_cfg")):
        raise InputError(f"{where} has no model_cfg with vision_cfg and text_cfg; it is open_clip's local-dir form")
    if type(parts.get("embed_dim")) is not int or not isinstance(config.get("preprocess_cfg") or {}, dict):
        raise InputError(f"{where} has no whole embed_dim, or a preprocess_cfg that is no object")
    _check_code(where, config)
    vision, text = parts["vision_cfg"], parts["text_cfg"]
    _check_size(where, vision.get("image_size", 224))
    _check_name(where, vision, "timm_model_name", _TIMM_NAME)
    for name in ("hf_model_name", "hf_tokenizer_name"):
        if not str(text.get(name, "")).startswith("/"):  # an absolute one is never opened: the folder's own files are
            _check_name(where, text, name, HUB_NAME)
    if text.get("tokenizer_mode") not in (None, "", "clips"):
        raise InputError(f"{where} asks for tokenizer_mode {text['tokenizer_mode']!r}; open_clip knows clips alone")
    _check_tokenizer(where, text.get("tokenizer_kwargs") or {})


def _check_size(where: str, size: Any) -> None:
    sides = size if isinstance(size, list) else [size]
    if len(sides) not in (1, 2) or not all(type(side) is int and 0 < side <= 4096 for side in sides):
        raise InputError(f"{where} has image_size {size!r}; it must be 1 to 4096")


def _check_name(where: str, part: Mapping[str, Any], name: str, pattern: str) -> None:
    value = part.get(name)
    if value is not None and not re.fullmatch(pattern, str(value)):
        raise InputError(f"{where} has {name} {value!r}, which is no plain name; {_HINT}")


def _check_tokenizer(where: str, arguments: Any) -> None:
    if not isinstance(arguments, dict):
        raise InputError(f"{where} has tokenizer_kwargs that are no object")
    for name, value in arguments.items():
        if name == "reduction_mask" and value:
            raise InputError(f"{where}: reduction_mask {value!r} draws words at random; scores need all of them")
        if name != "reduction_mask" and not isinstance(value, TOKENIZER_ARGUMENTS.get(name, ())):
            known = ", ".join(TOKENIZER_ARGUMENTS)
            raise InputError(f"{where}: the tokenizer argument {name} = {value!r} is refused; known are {known}")
    if arguments.get("clean", CLEANINGS[0]) not in CLEANINGS:
        raise InputError(f"{where}: clean {arguments['clean']!r} is unknown; there are {', '.join(CLEANINGS)}")


def check_text_files(model: str, folder: str, tower: bool) -> None:
    """Checks the configurations of a tokenizer's or text tower's folder, before transformers reads them.

    Args:
      model: name of the model, for messages.
      folder: local, with the files of ``locate.TEXT_FILES``.
      tower: whether ``config.json`` is that of the text tower.

    Raises:
      InputError: a file names code or something to fetch, or is no JSON object.
    """
    for path in sorted(Path(folder).glob("*.json")):
        if path.name in ("tokenizer.json", "vocab.json"):  # vocabularies: data alone, and large
            continue
        where = f"--model {model}: {path.name} of {folder}"
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{where} is not JSON ({error})") from None
        _check_code(where, content)
        kind = content.get("model_type") if isinstance(content, dict) else None
        if tower and path.name == "config.json" and kind not in published.text_models():
            known = ", ".join(sorted(published.text_models()))
            raise InputError(f"{where} has model_type {kind!r}; open_clip's text towers are {known}")


def _check_code(where: str, content: Any) -> None:
    """Refuses what would run or fetch, at any depth."""
    for name, value in _entries(content):
        if name in _CODE and value not in (None, False):
            raise InputError(f"{where} has {name}, which runs or fetches what a stranger wrote; {_HINT}")
        if any(word in name for word in _WORDS) and "/" in str(value):
            raise InputError(f"{where} has {name} {value!r}, which fetches and runs code; {_HINT}")


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    todo = [content]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            yield from one.items()
            todo += one.values()
        elif isinstance(one, list):
            todo += one
