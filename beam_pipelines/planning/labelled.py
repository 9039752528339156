"""The labelled pictures of ``train-mix`` and ``train-flyt``: their folders and shards, by task."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from beam_pipelines.config.train import MetaConfig
from beam_pipelines.planning.plan_facts import Problems
from transforms import shards as pools
from transforms.lib.errors import ConfigError, InputError, Reason, ShardError
from transforms.lib.flyt import labelled, task_batches
from transforms.lib.tar import shard_samples
from transforms.rows import Shard
from transforms.storage import filesystem, pool_files

TASK = re.compile(r"([a-z0-9_]+)=(.+)", re.S)


class LabelledSource(NamedTuple):
    """One task, before its pictures are read.

    Attributes:
      name: of the task; empty where it is the only one.
      folders: each with one folder per class; empty when the pictures are in shards.
      shards: of labelled samples.
      field: json field with the label; empty for the ``.cls`` member.
      names: of the classes, None when labels are names.
      templates: of the prompts.
    """

    name: str
    folders: list[str]
    shards: list[Shard]
    field: str
    names: list[str] | None
    templates: list[str]


@dataclasses.dataclass(frozen=True)
class CacheFolder:
    """A folder where embeddings are kept between runs.

    Attributes:
      uri: local, gs:// or s3://.
    """

    uri: str

    def read(self, name: str) -> bytes | None:
        """Returns a file, None where there is none."""
        return filesystem.read_if_exists(filesystem.join(self.uri, name))

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, whole or not at all."""
        filesystem.write_atomic(filesystem.join(self.uri, name), data)


def split(texts: Sequence[str]) -> dict[str, list[str]]:
    """Returns task -> values in order, of a repeated flag: ``TASK=VALUE``, or ``VALUE`` for the task named ``""``."""
    values: dict[str, list[str]] = {}
    for text in texts:
        match = TASK.fullmatch(text)
        values.setdefault(match[1] if match else "", []).append(match[2] if match else text)
    return values


def find(config: MetaConfig, problems: Problems) -> list[LabelledSource]:
    """Finds the pictures, class names and prompts of every task, and notes what is wrong.

    A flag without a task holds for every task that has no value of its own.
    """
    tasks = split(config.downstream)
    flags = {name: split(getattr(config, name)) for name in ("label_field", "class_names", "prompts")}
    if len(tasks) > 1 and "" in tasks:
        problems.append(f"--downstream {tasks[''][0]} belongs to no task, and others do; give every one as TASK=...")
    for flag, values in flags.items():
        for task, given in values.items():
            if task and task not in tasks:
                problems.append(f"--{flag} {task}=...: no --downstream is of this task; there are {', '.join(tasks)}")
            if len(given) > 1:
                problems.append(f"--{flag} is given {len(given)} times for one task; give it once")
    return [source(task, texts, flags, problems) for task, texts in sorted(tasks.items())]


def source(
    task: str,
    texts: list[str],
    flags: dict[str, dict[str, list[str]]],
    problems: Problems,
    given: str = "--downstream",
) -> LabelledSource:
    """Finds the pictures, class names and prompts of one task, and notes what is wrong.

    Args:
      task: its name.
      texts: its folders, or patterns of its shards.
      flags: name of a flag -> task -> values; those of the task ``""`` hold for every task without its own.
      problems: gets the lines.
      given: the flag that ``texts`` were given to.
    """

    def of(flag: str) -> str:
        return flags[flag].get(task, flags[flag].get("", [""]))[0]

    file = of("class_names")
    names = problems.collect(labelled.class_names, file) if file else None
    templates = problems.collect(labelled.templates, of("prompts"))
    folders = [text for text in texts if os.path.isdir(text)]
    shards: list[Shard] = []
    if folders and len(folders) < len(texts):
        problems.append(f"{given} {folders[0]} is a folder and others are shards; give one kind")
    elif not folders:
        shards = problems.collect(pools.find_shards, texts, given) or []
    return LabelledSource(task, folders, shards, of("label_field"), names, templates or [])


def read(source: LabelledSource, given: str = "--downstream") -> task_batches.Task:
    """Reads a task's pictures; ``given`` is the flag that named them.

    Raises:
      InputError: a shard is damaged.
      ConfigError: as ``labelled.gather``, naming the task.
    """
    folders = [Path(folder) for folder in source.folders]
    entries = itertools.chain(
        (entry for folder in folders for entry in labelled.from_folder(folder)),
        (entry for shard in source.shards for entry in _of_shard(shard, source.field, given)),
    )
    classes = [place.name for folder in folders for place in labelled.class_folders(folder)]
    try:
        pictures = labelled.gather(entries, source.names, classes, given)
    except ConfigError as error:
        where = f" (task {source.name})" if source.name else ""
        raise ConfigError([problem + where for problem in error.problems]) from None
    return task_batches.Task(source.name, pictures, source.templates)


def _of_shard(shard: Shard, field: str, given: str) -> Iterator[labelled.Picture | Reason]:
    try:
        with pool_files.open_shard(shard.uri) as tar:
            yield from labelled.from_samples(shard_samples.read_samples(tar), field)
    except ShardError as error:
        raise InputError(f"{given} {shard.uri} is damaged ({error}); copy or download it again") from None


def sources_of(tasks: Sequence[task_batches.Task]) -> tuple[str, dict[str, Any]]:
    """Returns the counts of what was read: one line for people, and values for the JSON line."""
    pictures = sum(len(task.labelled.labels) for task in tasks)
    names = [name for task in tasks for name in task.labelled.names]
    bare = [name for task in tasks for name in _classes_without_picture(task.labelled)]
    left_out: Counter[Reason] = sum((Counter(task.labelled.left_out) for task in tasks), Counter())
    text = f"{pictures} labelled pictures, {len(names)} classes"
    text += f" ({len(bare)} without a picture: {bare[0]} ...)" if bare else ""
    values = {"labelled": pictures, "classes": len(names), "labelled_left_out": dict(sorted(left_out.items()))}
    return text + labelled.counts(left_out, "; labelled pictures left out: "), values


def _classes_without_picture(pictures: labelled.Labelled) -> list[str]:
    labels = set(pictures.labels)
    return [name for number, name in enumerate(pictures.names) if number not in labels]
