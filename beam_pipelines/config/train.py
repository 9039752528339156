"""What the jobs that train, and those that use what was trained, can be told. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from beam_pipelines.config.base import Config, flag
from beam_pipelines.config.crawl import PoolConfig

DEFAULT_MODEL = "tinyclip"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Flags of ``train-filter``."""

    input: tuple[str, ...] = flag((), "shards of clean pairs; as for curate (required)")
    model: str = flag(DEFAULT_MODEL, "what to train: as for curate, or a bare architecture from random weights")
    train: str = flag(
        "projections",
        "projections (the towers stay as they are: minutes on a CPU) or towers",
        choices=("projections", "towers"),
    )
    caption_field: str = flag("", "json field with the caption; default: the .txt member, then json `caption`")
    holdout_fraction: float = flag(0.1, "share of the captions held out to measure and to stop by, in (0, 1)")
    seed: int = flag(0, "of the start, the split, the order and the noise; equal seeds give equal weights")
    epochs: int = flag(60, "at most")
    patience: int = flag(10, "epochs without a better held-out loss before stopping")
    batch_size: int = flag(1024, "pairs a step; try 64 with --train towers")
    learning_rate: float = flag(1e-3, "of AdamW; try 1e-5 with --train towers")
    weight_decay: float = flag(0.1, "of AdamW")
    noise: float = flag(0.6, "added to the features of locked towers, in their own standard deviations")
    threads: int = flag(0, "threads of torch; 0 = all cores", operational=True)

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the shards of clean pairs")
        if self.train not in ("projections", "towers"):
            found.append(f"--train must be projections or towers, got {self.train!r}")
        if not 0 < self.holdout_fraction < 1:
            found.append(f"--holdout_fraction must be in (0, 1), got {self.holdout_fraction}")
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                found.append(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            found.append(f"--learning_rate must be above 0, got {self.learning_rate}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetaConfig(Config):
    """Flags that ``train-mix`` and ``train-flyt`` share; the defaults are the paper's."""

    kind: ClassVar[str]  # what checkpoints are stamped with; it stays when the class is renamed

    output: str = flag(
        "", "folder for what is trained, with checkpoints; local; continued when it is half done (required)"
    )
    pool: str = flag("", "scored pool to learn from: the --output of `winnow score` (required)")
    column_set: str = flag("", "embeddings of the reference model; default: the only ones that the pool has")
    downstream: tuple[str, ...] = flag(
        (),
        "labelled pictures that the reference is to get right: a folder with a folder for each class, or shards with a "
        ".cls member (globs as for score); may be repeated; TASK=... for several tasks, whose losses are averaged "
        "(required)",
    )
    label_field: tuple[str, ...] = flag(
        (), "json field with the label, text or number; default: the .cls member; TASK=... for one task"
    )
    class_names: tuple[str, ...] = flag(
        (),
        "file with the name of a class a line, the first for number 0; labels and folders are names or numbers of it, "
        "or folders stand for it in sorted order; default: labels are names; TASK=... for one task",
    )
    prompts: tuple[str, ...] = flag(
        (), "file with a prompt a line, {} for the class; default: CLIP's 80 for ImageNet; TASK=... for one task"
    )
    cache: str = flag(
        "",
        "folder where embeddings of labelled pictures and prompts are kept for later runs; default: labelled in --pool",
        operational=True,
    )
    reference: str = flag(
        "projections",
        "what takes the virtual steps: projections (two linear maps over frozen embeddings) or towers (the whole "
        "network, on the shards' images, as in the paper)",
        choices=("projections", "towers"),
    )
    seed: int = flag(0, "of every draw; equal seeds give equal weights")
    steps: int = flag(5000, "virtual steps of the reference, each with one step of the scorer")
    warmup: int = flag(100, "steps that lead up to the full learning rates, which then fall along a cosine")
    batch_size: int = flag(4096, "samples of the pool a step")
    downstream_batch_size: int = flag(3072, "labelled pictures of each task a step")
    learning_rate: float = flag(5e-5, "of the reference")
    scoring_learning_rate: float = flag(1e-3, "of the scorer")
    weight_decay: float = flag(0.2, "of the matrices of both")
    scoring_eps: float = flag(1e-6, "of the scorer's AdamW; gradients far below it hardly move the scorer")
    reference_start: str = flag(
        "model", "where the reference starts: model (its own weights, as in the paper) or random (small pools)"
    )
    restart_every: int = flag(
        0, "steps after which the reference starts anew, so that a small pool is not learnt by heart; 0 = never"
    )
    update_reference: bool = flag(True, "false: every virtual step starts where the reference started")
    shards_at_once: int = flag(8, "shards in memory, whose samples are mixed with one another")
    part_size: int = flag(64, "samples a forward pass of towers that are trained takes")
    checkpoint_every: int = flag(100, "steps between checkpoints", operational=True)
    device: str = flag("cpu", "cpu or cuda; a GPU that is asked for and absent is an error")
    threads: int = flag(0, "threads of torch; 0 = all cores", operational=True)

    def problems(self) -> list[str]:
        found = super().problems()
        for name in ("pool", "downstream"):
            if not getattr(self, name):
                found.append(f"--{name} is missing; --help says what it is")
        if "://" in self.output:
            found.append(f"--output {self.output} must be local; copy the folder when it is done")
        counts = ("steps", "batch_size", "downstream_batch_size", "shards_at_once", "part_size", "checkpoint_every")
        for name, least in [
            *((name, 1) for name in counts),
            *((name, 0) for name in ("warmup", "threads", "seed", "restart_every")),
        ]:
            if getattr(self, name) < least:
                found.append(f"--{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("learning_rate", "scoring_learning_rate", "scoring_eps"):
            if not 0 < getattr(self, name) < float("inf"):
                found.append(f"--{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < float("inf"):
            found.append(f"--weight_decay must be at least 0, got {self.weight_decay}")
        if self.reference_start not in ("model", "random"):
            found.append(f"--reference_start must be model or random, got {self.reference_start!r}")
        if self.reference not in ("projections", "towers"):
            found.append(f"--reference must be projections or towers, got {self.reference!r}")
        if self.reference_start == "random" and self.reference == "towers":
            found.append(
                "--reference_start random needs --reference projections; towers from nothing take a large pool"
            )
        if self.warmup >= self.steps > 0:
            found.append(f"--warmup must be less than --steps {self.steps}, got {self.warmup}")
        if self.device not in ("cpu", "cuda"):
            found.append(f"--device must be cpu or cuda, got {self.device!r}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainMixConfig(MetaConfig):
    """Flags of ``train-mix``."""

    kind = "TrainMixConfig"

    score: tuple[str, ...] = flag((), "column to mix, SET.COLUMN; may be repeated (required)")

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.score:
            found.append("--score is missing; name the columns to mix, for example --score tinyclip.score")
        twice = sorted({name for name in self.score if self.score.count(name) > 1})
        return found + [f"--score {name} is given twice" for name in twice]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlytConfig(MetaConfig):
    """Flags of ``train-flyt``."""

    kind = "TrainFlytConfig"

    hidden_mod: int = flag(1, "hidden units of the head over entries of both embeddings")
    cosine_start: bool = flag(True, "true: the head starts as the cosine and a little noise; false: at random")
    start_noise: float = flag(
        0.01,
        "standard deviation of that noise; 0.001 costs the cosine nothing, which counts when training is short",
    )
    train_towers: bool = flag(
        False,
        "true: the towers under the head learn with it, from the shards' images (try --scoring_learning_rate 1e-5); "
        "false: the head reads saved embeddings, as in the paper",
    )

    def problems(self) -> list[str]:
        found = super().problems()
        if self.hidden_mod < 1:
            found.append(f"--hidden_mod must be at least 1, got {self.hidden_mod}")
        if not 0 <= self.start_noise < float("inf"):
            found.append(f"--start_noise must be at least 0, got {self.start_noise}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFlytConfig(PoolConfig):
    """Flags of ``score-flyt``."""

    head: str = flag("", "folder that `train-flyt` wrote: local, gs:// or s3:// (required)")
    column_set: str = flag("", "embeddings that the head reads; default: the column set it was trained on")
    name: str = flag("flyt", "column set to write; its column is `score`")
    threads: int = flag(0, "threads of torch; 0 = all cores", operational=True)

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.head:
            found.append("--head is missing; name the folder that `train-flyt` wrote")
        if self.threads < 0:
            found.append(f"--threads must be at least 0, got {self.threads}")
        return found
