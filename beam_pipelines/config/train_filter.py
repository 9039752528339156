"""Flags of ``train-filter``, and the published recipes of filtering networks. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.base import Config, flag

DEFAULT_MODEL = "tinyclip"
DATASET = re.compile(r"([a-z0-9_]+)=(.+)", re.S)
CAPTIONS = ("text", "class")

DEFAULTS: dict[str, dict[str, Any]] = {
    "projections": {"epochs": 60, "patience": 10, "batch_size": 1024, "learning_rate": 1e-3, "weight_decay": 0.1},
    "towers": {"epochs": 5, "patience": 10, "batch_size": 64, "learning_rate": 1e-5, "weight_decay": 0.1},
}
_UNTIL_THE_END = 1_000_000  # validations without a better one: the papers stop after their steps alone

# Fang et al. 2023, Data Filtering Networks, arXiv:2309.17425, section 4 and appendix B; where it names DataComp's
# hyper-parameters, those of Gadre et al. 2023, arXiv:2304.14108, appendix, scale "large". Not published, and ours: the
# crop (open_clip's), and of dfn_finetune everything but its data and the weight ensemble.
RECIPES: dict[str, dict[str, Any]] = {
    "dfn": {
        "train": "towers", "steps": 312_500, "batch_size": 16_384, "warmup": 2_000, "learning_rate": 5e-4,
        "weight_decay": 0.2, "crop_scale": 0.9, "patience": _UNTIL_THE_END,
    },
    "dfn_public": {
        "train": "towers", "steps": 156_250, "batch_size": 8_192, "warmup": 500, "learning_rate": 5e-4,
        "weight_decay": 0.2, "crop_scale": 0.9, "patience": _UNTIL_THE_END,
    },
    "dfn_finetune": {
        "train": "towers", "epochs": 10, "batch_size": 4_096, "warmup": 100, "learning_rate": 1e-5,
        "weight_decay": 0.1, "crop_scale": 0.5, "keep_start": 0.5, "patience": _UNTIL_THE_END,
    },
}  # fmt: skip
_BY_RECIPE = ("crop_scale", "epochs", "keep_start", "patience", "steps", "train", "warmup", "batch_size",
              "learning_rate", "weight_decay")  # fmt: skip
_OTHERS = {"train": "projections", "steps": 0, "warmup": 0, "crop_scale": 1.0, "keep_start": 0.0}


def split(texts: Sequence[str]) -> dict[str, list[str]]:
    """Returns data set -> values in order, of a repeated flag: ``NAME=VALUE``, or ``VALUE`` for all."""
    values: dict[str, list[str]] = {}
    for text in texts:
        match = DATASET.fullmatch(text)
        values.setdefault(match[1] if match else "", []).append(match[2] if match else text)
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Flags of ``train-filter``; those that are None follow ``--recipe``, or else ``--train``."""

    input: tuple[str, ...] = flag(
        (),
        "shards of clean pairs; as for curate; NAME=PATTERN for several data sets",
        required="name the shards of clean pairs",
    )
    weight: tuple[str, ...] = flag(
        (), "NAME=NUMBER: how often a pass sees the pairs of a data set, with --train towers; default: once"
    )
    model: str = flag(DEFAULT_MODEL, "what to train: as for curate, or a bare architecture from random weights")
    recipe: str = flag(
        "",
        "published settings, for flags that are not given",
        choices={
            "dfn": "the Data Filtering Network of DFN-2B and DFN-5B, its first stage",
            "dfn_public": "the one on public data",
            "dfn_finetune": "their second stage",
        },
    )
    train: str | None = flag(
        None,
        "what learns; default: projections",
        choices={"projections": "the towers stay as they are: minutes on a CPU", "towers": "all weights"},
    )
    caption_field: str = flag("", "json field with the caption; default: the .txt member, then json `caption`")
    caption_from: tuple[str, ...] = flag(
        (),
        "text, or class: captions are prompts of the class of the picture (.cls member, --label_field, or its folder); "
        "NAME=class for one data set; default: text",
    )
    label_field: tuple[str, ...] = flag(
        (), "json field with the class, text or number; default: the .cls member; NAME=FIELD for one data set"
    )
    class_names: tuple[str, ...] = flag(
        (), "file with the name of one class per line, the first for number 0; NAME=FILE for one data set"
    )
    prompts: str = flag("", "file with one prompt per line, {} for the class; default: CLIP's 80 for ImageNet")
    holdout_fraction: float = flag(0.1, "share of the captions held out to measure and to stop by", above=0, below=1)
    held_out_pairs: int = flag(2000, "most pairs that --train towers validates by", at_least=2)
    seed: int = flag(
        0, "seed of the start, the split, the order and the noise; equal seeds give equal weights", at_least=0
    )
    epochs: int | None = flag(None, "most passes over the pairs; default: 60, with --train towers 5", at_least=1)
    steps: int | None = flag(
        None,
        "steps of --train towers instead of passes; pairs are not counted first; 0 = passes",
        at_least=0,
    )
    patience: int | None = flag(
        None, "validations (one per pass) without a better held-out loss before stopping; default: 10", at_least=1
    )
    batch_size: int | None = flag(None, "pairs per step; default: 1024, with --train towers 64", at_least=1)
    learning_rate: float | None = flag(None, "learning rate of AdamW; default: 1e-3, with --train towers 1e-5", above=0)
    warmup: int | None = flag(
        None,
        "steps of --train towers up to the full learning rate, which then falls along a cosine; default: 0",
        at_least=0,
    )
    weight_decay: float | None = flag(None, "weight decay of AdamW; default: 0.1", at_least=0)
    noise: float = flag(0.6, "noise that is added to the features of locked towers, in their own standard deviations")
    accumulate: int = flag(1, "batches of --train towers per step, whose gradients are averaged", at_least=1)
    crop_scale: float | None = flag(
        None,
        "smallest part of an image that --train towers sees; default: 1, the usual view",
        above=0,
        at_most=1,
    )
    mirror: bool = flag(True, "half of the images are mirrored")
    precision: str = flag(
        "fp32", "numbers that --train towers multiplies", choices={"fp32": "", "bf16": "weights and loss stay in fp32"}
    )
    clip_norm: float = flag(0.0, "longest gradient of --train towers; 0 = any", at_least=0)
    keep_start: float | None = flag(
        None, "share of the starting weights in the result of --train towers; default: 0", at_least=0, below=1
    )
    shuffle_pairs: int = flag(8192, "pairs that are mixed with one another; twice as many are in memory", at_least=1)
    validate_every: int = flag(0, "steps of --train towers between validations; 0 = one per pass, or ten", at_least=0)
    checkpoint_every: int = flag(500, "steps of --train towers between checkpoints", at_least=1, operational=True)
    part_size: int = flag(
        0,
        "pairs per forward pass of --train towers; a larger batch is embedded twice, and its gradient is the same; 0 = "
        "the batch",
        at_least=0,
        operational=True,
    )
    device: str = flag(
        "cpu", "device of the training; one that is absent is an error", choices=("cpu", "cuda"), operational=True
    )
    threads: int = flag(0, "threads of torch; 0 = all cores", at_least=0, operational=True)

    def __post_init__(self) -> None:
        """Fills in what is not given: from the recipe, then by what learns."""
        recipe = RECIPES.get(self.recipe, {})
        kind = self.train or recipe.get("train", "projections")
        values = {**_OTHERS, **DEFAULTS.get(kind, DEFAULTS["projections"]), **recipe}
        for name in _BY_RECIPE:
            if getattr(self, name) is None:
                object.__setattr__(self, name, values[name])

    def problems(self) -> list[str]:
        problems = super().problems()
        names = set(split(self.input))
        if len(names) > 1 and "" in names:
            problems.append(
                f"--input {split(self.input)[''][0]} has no name, and others do; give every one as NAME=..."
            )
        for flag_name in ("weight", "caption_from", "label_field", "class_names"):
            given = split(getattr(self, flag_name))
            for name, values in given.items():
                if name and name not in names:
                    there = ", ".join(sorted(filter(None, names))) or "none"
                    problems.append(f"--{flag_name} {name}=...: no --input has this name; there are {there}")
                if len(values) > 1:
                    problems.append(f"--{flag_name} is given {len(values)} times for one data set; give it once")
        problems += self._wrong_values()
        if self.train == "projections":
            only = {
                "weight": self.weight,
                "caption_from": self.caption_from,
                "steps": self.steps,
                "warmup": self.warmup,
            }
            problems += [f"--{name} needs --train towers; give it, or leave this out" for name, v in only.items() if v]
        if self.steps and self.warmup and self.warmup >= self.steps:
            problems.append(f"--warmup must be less than --steps {self.steps}, got {self.warmup}")
        return problems

    def _wrong_values(self) -> list[str]:
        wrong = []
        for text in self.weight:
            number = text.partition("=")[2]
            try:
                good = 0 < float(number) <= 1000
            except ValueError:
                good = False
            if not good:
                wrong.append(f"--weight must be NAME=NUMBER with a number in (0, 1000], got {text!r}")
        asked = [values[0] for values in split(self.caption_from).values()]
        wrong += [f"--caption_from must be text or class, got {one!r}" for one in asked if one not in CAPTIONS]
        return wrong
