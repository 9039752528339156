"""What open_clip ships of architectures and of published weights; the package itself, and torch, are not imported."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import re
import sys
import types
from pathlib import Path
from typing import Any

_ALIAS = "winnow_open_clip"  # its modules of facts under a name whose package is empty: the real one imports torch


def _folder() -> Path | None:
    found = importlib.util.find_spec("open_clip")
    places = found.submodule_search_locations if found is not None else None
    return Path(next(iter(places))) if places else None


def builtin(arch: str) -> dict[str, Any]:
    """Returns the configuration that open_clip ships of an architecture."""
    folder = _folder()
    assert folder is not None
    return dict(json.loads((folder / "model_configs" / f"{arch}.json").read_text()))


def architectures() -> list[str]:
    """Returns the architectures that open_clip ships a configuration of, sorted."""
    folder = _folder()
    return sorted(path.stem for path in folder.glob("model_configs/*.json")) if folder else []


@functools.cache
def module(name: str) -> Any:
    """Returns a module of open_clip that holds facts and needs no torch, such as ``pretrained``."""
    package = types.ModuleType(_ALIAS)
    package.__path__ = [str(_folder())]
    sys.modules.setdefault(_ALIAS, package)
    return importlib.import_module(f"{_ALIAS}.{name}")


def all_tags() -> list[tuple[str, str]]:
    """Returns every published pair of architecture and tag, in open_clip's order."""
    return list(module("pretrained").list_pretrained())


def tags(arch: str) -> dict[str, dict[str, Any]]:
    """Returns the published weights of an architecture: tag -> where they are, and what they were trained with."""
    table = module("pretrained")
    return {tag: dict(table.get_pretrained_cfg(arch, tag)) for tag in table.list_pretrained_tags_by_model(arch)}


def tag_of(arch: str, sha256: str) -> str:
    """Returns the tag whose address names this digest, or its first digits, of the weights; empty when none does."""
    for tag, facts in tags(arch).items():
        for digits in re.findall(r"(?<![0-9a-f])[0-9a-f]{8,64}(?![0-9a-f])", str(facts.get("url", ""))):
            if sha256.startswith(digits):
                return tag
    return ""


def text_models() -> set[str]:
    """Returns the kinds of text tower of transformers that open_clip knows, such as ``roberta``."""
    return set(module("hf_configs").arch_dict)
