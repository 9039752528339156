"""The pairs that ``train-filter`` learns from: data sets, their weights, and captions made of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from beam_pipelines.config.train_filter import TrainConfig, split
from beam_pipelines.planning.plan_facts import Problems
from transforms.lib.errors import InputError
from transforms.lib.flyt import labelled
from transforms.lib.inputs import folder_input
from transforms.lib.tar import shard_samples
from transforms.lib.tar.shard_samples import RawSample
from transforms.lib.training import pair_stream, tower_data
from transforms.rows import Shard
from transforms.shards import check_images, find_shards
from transforms.storage import pool_files


class Classes(NamedTuple):
    """How the classes of a data set become words.

    Attributes:
      field: json field with the class; empty for the ``.cls`` member.
      names: of the classes by number; None where classes are named by their labels.
      folders: names of the class folders, in order.
    """

    field: str
    names: list[str] | None
    folders: list[str]

    def name_of(self, label: str) -> str | None:
        """Returns the name of a class; None for a label that is none."""
        if self.names is None:
            return label.replace("_", " ")
        if label in self.folders and not label.isdigit() and label not in self.names:
            return self.names[self.folders.index(label)] if len(self.folders) == len(self.names) else None
        if label in self.names:
            return label
        number = int(label) if label.isascii() and label.isdigit() else -1
        return self.names[number] if 0 <= number < len(self.names) else None


class FilterData(NamedTuple):
    """What a training reads.

    Attributes:
      shards: of all data sets.
      sources: the same, as the stream takes them.
      classes: data set -> how its classes become words; only those whose captions are made of classes.
      templates: of the captions of classes.
      caption_field: as the flag.
    """

    shards: list[Shard]
    sources: list[pair_stream.Source]
    classes: Mapping[str, Classes]
    templates: list[str]
    caption_field: str

    def read(self, source: pair_stream.Source) -> Iterator[tuple[int, bytes, str, bool]]:
        """Yields (row, image, caption, labelled) of a shard, as ``pair_stream.Read``."""
        classes = self.classes.get(source.kind)
        with pool_files.open_shard(source.uri) as tar:
            samples = shard_samples.read_samples(tar)
            yield from tower_data.pairs_in(samples, self.caption_field, classes and _class_of(classes, source.uri))


def _class_of(classes: Classes, uri: str) -> Callable[[RawSample], str | None]:
    folder = _folder(uri)

    def name(sample: RawSample) -> str | None:
        label = labelled.label_of(sample.members, classes.field) or folder
        return classes.name_of(label) if label else None

    return name


def _folder(uri: str) -> str:
    """Returns the class folder that the files of a shard lie in; empty for a shard that is a file."""
    return folder_input.folder_of(uri).rstrip("/").rpartition("/")[2] if folder_input.is_block(uri) else ""


def find(config: TrainConfig, problems: Problems) -> FilterData:
    """Finds the shards of every data set, class names and prompts; notes everything that is wrong."""
    given = {name: split(getattr(config, name)) for name in ("weight", "caption_from", "label_field", "class_names")}

    def of(flag: str, name: str, default: str) -> str:
        return given[flag].get(name, given[flag].get("", [default]))[0]

    shards, sources, classes = [], [], {}
    for name, texts in sorted(split(config.input).items()):
        found = problems.collect(find_shards, texts, tell=problems.notes.append) or []
        if found:
            problems.collect(check_images, found)
        shards += found
        times = 1.0 if config.problems() else float(of("weight", name, "1"))
        sources += [pair_stream.Source(f"{name}/{one.name}", one.uri, times, name) for one in found]
        if of("caption_from", name, "text") == "class":
            file = of("class_names", name, "")
            names = problems.collect(labelled.class_names, file) if file else None
            folders = sorted({_folder(one.uri) for one in found} - {""})
            classes[name] = Classes(of("label_field", name, ""), names, folders)
            if found:
                problems.collect(_check_classes, classes[name], name, config, sources[-len(found)])
    templates = problems.collect(labelled.templates, config.prompts) if classes or config.prompts else ["{}"]
    return FilterData(shards, sources, classes, templates or ["{}"], config.caption_field)


def _check_classes(classes: Classes, name: str, config: TrainConfig, source: pair_stream.Source) -> None:
    """Checks that the first shard of a data set has classes.

    Raises:
      InputError: none of its first samples has one.
    """
    data = FilterData([], [], {name: classes}, ["{}"], config.caption_field)
    if next(data.read(source), None) is None:
        raise InputError(
            f"--caption_from {name and name + '='}class: no sample of {source.uri} has a class (a .cls member, the "
            "json field that --label_field names, or a folder for each class), or --class_names lacks it; check these"
        )
