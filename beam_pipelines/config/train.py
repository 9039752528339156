"""Flags of the jobs that train by FLYT, and of ``score-flyt``, which uses what was trained. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from beam_pipelines.config.base import Config, Form, flag
from beam_pipelines.config.crawl import PoolConfig

_HEAD = "name the folder that `train-flyt` wrote"
_NAMED = Form(r"[A-Za-z0-9][A-Za-z0-9_.,+ -]{0,63}=.+", "NAME=VALUE")
_TASK = Form(r"[a-z0-9_]+=.+", "TASK=PATH, the task in lower-case letters, digits and _")
SCALES = ("small", "medium", "large", "xlarge")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetaConfig(Config):
    """Flags that ``train-mix`` and ``train-flyt`` share; the defaults are those of FLYT, arXiv:2503.08805."""

    kind: ClassVar[str]  # part of the stamp of checkpoints; it stays when the class is renamed

    output: str = flag(
        "",
        "folder for what is trained, with checkpoints; local; continued when it is half done",
        required="name the folder that Winnow writes to",
    )
    pool: str = flag("", "scored pool to learn from: the --output of `winnow score`", required="--help says what it is")
    column_set: str = flag("", "embeddings of the reference model; default: the only ones that the pool has")
    downstream: tuple[str, ...] = flag(
        (),
        "labelled pictures that the reference is to get right: a folder with a folder for each class, or shards with a "
        ".cls member (globs as for score); may be repeated; TASK=... for several tasks, whose losses are averaged",
        required="--help says what it is",
    )
    label_field: tuple[str, ...] = flag(
        (), "json field with the label, text or number; default: the .cls member; TASK=... for one task"
    )
    class_names: tuple[str, ...] = flag(
        (),
        "file with the name of one class per line, the first for number 0; labels and folders are names or numbers of "
        "it, or folders stand for it in sorted order; default: labels are names; TASK=... for one task",
    )
    prompts: tuple[str, ...] = flag(
        (), "file with one prompt per line, {} for the class; default: CLIP's 80 for ImageNet; TASK=... for one task"
    )
    cache: str = flag(
        "",
        "folder where embeddings of labelled pictures and prompts are kept for later runs; default: labelled in --pool",
        operational=True,
    )
    reference: str = flag(
        "projections",
        "what takes the virtual steps",
        choices={
            "projections": "two linear maps over frozen embeddings",
            "towers": "the whole network, on the shards' images, as in the paper",
        },
    )
    seed: int = flag(0, "seed of every draw; equal seeds give equal weights", at_least=0)
    steps: int = flag(5000, "virtual steps of the reference; each with one step of the scorer", at_least=1)
    warmup: int = flag(100, "steps that lead up to the full learning rates; these then fall along a cosine", at_least=0)
    batch_size: int = flag(4096, "samples of the pool per step", at_least=1)
    downstream_batch_size: int = flag(3072, "labelled pictures of each task per step", at_least=1)
    learning_rate: float = flag(5e-5, "learning rate of the reference", above=0)
    scoring_learning_rate: float = flag(1e-3, "learning rate of the scorer", above=0)
    weight_decay: float = flag(0.2, "weight decay of the matrices of reference and scorer", at_least=0)
    scoring_eps: float = flag(
        1e-6, "epsilon of the scorer's AdamW; gradients far below it hardly move the scorer", above=0
    )
    reference_start: str = flag(
        "model",
        "where the reference starts",
        choices={"model": "its own weights, as in the paper", "random": "for small pools"},
    )
    restart_every: int = flag(
        0,
        "steps after which the reference starts anew, so that a small pool is not learnt by heart; 0 = never",
        at_least=0,
    )
    update_reference: bool = flag(True, "false: every virtual step starts where the reference started")
    shards_at_once: int = flag(8, "shards in memory; their samples are mixed with one another", at_least=1)
    part_size: int = flag(64, "samples that a forward pass of towers takes in training", at_least=1)
    checkpoint_every: int = flag(100, "steps between checkpoints", at_least=1, operational=True)
    device: str = flag("cpu", "device of the training; one that is absent is an error", choices=("cpu", "cuda"))
    threads: int = flag(0, "threads of torch; 0 = all cores", at_least=0, operational=True)

    def problems(self) -> list[str]:
        problems = super().problems()
        if "://" in self.output:
            problems.append(f"--output {self.output} must be local; copy the folder when it is done")
        if self.reference_start == "random" and self.reference == "towers":
            problems.append(
                "--reference_start random needs --reference projections; towers from nothing take a large pool"
            )
        if self.warmup >= self.steps > 0:
            problems.append(f"--warmup must be less than --steps {self.steps}, got {self.warmup}")
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainMixConfig(MetaConfig):
    """Flags of ``train-mix``."""

    kind = "TrainMixConfig"

    score: tuple[str, ...] = flag(
        (),
        "column to mix, SET.COLUMN; may be repeated",
        required="name the columns to mix, for example --score tinyclip.score",
    )

    def problems(self) -> list[str]:
        twice = sorted({name for name in self.score if self.score.count(name) > 1})
        return super().problems() + [f"--score {name} is given twice" for name in twice]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlytConfig(MetaConfig):
    """Flags of ``train-flyt``."""

    kind = "TrainFlytConfig"

    hidden_mod: int = flag(1, "hidden units of the head over entries of both embeddings", at_least=1)
    cosine_start: bool = flag(True, "true: the head starts as the cosine and a little noise; false: at random")
    start_noise: float = flag(
        0.01,
        "standard deviation of the noise of --cosine_start; 0.001 costs the cosine nothing, which counts when training "
        "is short",
        at_least=0,
    )
    train_towers: bool = flag(
        False,
        "true: the towers under the head learn with it, from the shards' images (try --scoring_learning_rate 1e-5); "
        "false: the head reads saved embeddings, as in the paper",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreFlytConfig(PoolConfig):
    """Flags of ``score-flyt``."""

    head: str = flag("", "folder that `train-flyt` wrote: local, gs:// or s3://", required=_HEAD)
    column_set: str = flag("", "embeddings that the head reads; default: the column set it was trained on")
    name: str = flag("flyt", "column set to write; its column is `score`")
    threads: int = flag(0, "threads of torch; 0 = all cores", at_least=0, operational=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Config):
    """Flags of ``evaluate``."""

    output: str = flag(
        "",
        "folder for models, checkpoints and the table; local; continued when it is half done",
        required="name the folder that Winnow writes to",
    )
    arm: tuple[str, ...] = flag(
        (),
        "selection to train on, NAME=SOURCE; may be repeated; SOURCE is an output folder, FOLDER#SELECTION, a subset "
        "file of --pool, or `all` for every sample of --pool",
        form=_NAMED,
    )
    pool: str = flag("", "output folder of `winnow score` whose samples the subset files name")
    classification: tuple[str, ...] = flag(
        (),
        "evaluation set with classes, TASK=PATH; may be repeated; PATH is a folder with a folder for each class, or "
        "shards with a .cls member (globs as for score)",
        form=_TASK,
    )
    retrieval: tuple[str, ...] = flag(
        (),
        "evaluation set of pictures with captions, TASK=PATH of shards; may be repeated; each line of a caption counts",
        form=_TASK,
    )
    label_field: tuple[str, ...] = flag(
        (), "json field with the label; default: the .cls member; TASK=... for one task"
    )
    class_names: tuple[str, ...] = flag(
        (), "file with the name of one class per line, the first for number 0; TASK=... for one task"
    )
    prompts: tuple[str, ...] = flag(
        (), "file with one prompt per line, {} for the class; default: CLIP's 80 for ImageNet; TASK=... for one task"
    )
    model: str = flag(
        "tiny", "what is trained, from random weights: `tiny`, an architecture of open_clip, or its JSON file"
    )
    samples_seen: int = flag(50_000, "pairs that every model sees, copies and repetitions counted", at_least=1)
    batch_size: int = flag(256, "pairs per step", at_least=2)
    learning_rate: float = flag(1e-3, "learning rate of AdamW; it falls along half a cosine", above=0)
    warmup: int = flag(30, "steps that lead up to the full learning rate", at_least=0)
    weight_decay: float = flag(0.2, "weight decay of the matrices", at_least=0)
    crop: float = flag(0.9, "least share of a picture that a random crop keeps; 1 crops nothing", above=0, at_most=1)
    seed: int = flag(0, "first seed: of weights, order and crops; equal seeds give equal weights", at_least=0)
    seeds: int = flag(3, "how many seeds every arm is trained with", at_least=1, operational=True)
    checkpoint_every: int = flag(100, "steps between checkpoints", at_least=1, operational=True)
    device: str = flag("cpu", "device of the training; one that is absent is an error", choices=("cpu", "cuda"))
    threads: int = flag(0, "threads of torch; 0 = all cores", at_least=0)
    hand_off: str = flag(
        "", "train nothing here; write the commands that train DataComp's model of this scale", choices=SCALES
    )
    gpus: int = flag(8, "GPUs of the machine that --hand_off is for", at_least=1, operational=True)
    accumulate: int = flag(1, "batches per step of each GPU, for --hand_off", at_least=1, operational=True)
    results: tuple[str, ...] = flag(
        (),
        "figures of a model trained elsewhere, NAME=FILE of DataComp's eval_results.jsonl; may be repeated",
        form=_NAMED,
    )

    def problems(self) -> list[str]:
        problems = super().problems()
        if "://" in self.output:
            problems.append(f"--output {self.output} must be local; copy the folder when it is done")
        if not self.arm and not self.results:
            problems.append("--arm is missing; give a selection to train on, NAME=SOURCE, or figures by --results")
        tasks = [*named(self.classification), *named(self.retrieval)]
        if self.arm and not self.hand_off and not tasks:
            problems.append("give an evaluation set: --classification TASK=PATH or --retrieval TASK=PATH")
        for flag_name, names in (("--arm", named(self.arm)), ("--classification and --retrieval", tasks)):
            twice = sorted({name for name in names if names.count(name) > 1})
            problems += [f"{flag_name}: {name} is given twice; names are their own" for name in twice]
        steps = max(1, round(self.samples_seen / self.batch_size))
        if self.warmup >= steps and not self.hand_off:
            problems.append(f"--warmup must be less than the {steps} steps of the training, got {self.warmup}")
        return problems


def named(values: tuple[str, ...]) -> list[str]:
    """Returns the names of ``NAME=VALUE`` texts, in order."""
    return [value.partition("=")[0] for value in values]
