"""Flags of ``winnow evaluate``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Config, Form, flag

_NAMED = Form(r"[A-Za-z0-9][A-Za-z0-9_.,+ -]{0,63}=.+", "NAME=VALUE")
_TASK = Form(r"[a-z0-9_]+=.+", "TASK=PATH, the task in lower-case letters, digits and _")
SCALES = ("small", "medium", "large", "xlarge")


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
