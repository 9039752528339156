"""Labelled pictures: which class a sample is of, what the classes are called, and the prompts made of their names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from transforms.lib.errors import ConfigError, InputError, Reason, SampleError, ShardError
from transforms.lib.samples import captions, images
from transforms.lib.tar.shard_samples import RawSample

_WHOLE = re.compile(r"-?[0-9]{1,18}")  # no other digits: int() does not take ²


class Picture(NamedTuple):
    """An encoded image and its label: the name of its class, or its number as text."""

    image: bytes
    label: str


class Labelled(NamedTuple):
    """A labelled pool.

    Attributes:
      images: ``n`` encoded images.
      labels: class of each, 0 .. c - 1.
      names: what the ``c`` classes are called.
      left_out: reason -> samples that are not among them.
    """

    images: list[bytes]
    labels: list[int]
    names: list[str]
    left_out: Mapping[Reason, int]


def label_of(members: Mapping[str, bytes], field: str = "") -> str | None:
    """Returns the label of a WebDataset sample, None where it has none.

    Args:
      members: data by extension.
      field: of the json member, text or a whole number; empty for the ``.cls`` member, as in webdataset.
    """
    if not field:
        return members["cls"].decode("utf-8", "replace").strip() or None if "cls" in members else None
    value = captions.json_of(members).get(field)
    return str(value).strip() or None if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def from_samples(samples: Iterable[RawSample], field: str = "") -> Iterator[Picture | Reason]:
    """Yields every sample of a shard: its picture, or why it is left out.

    Args:
      samples: as ``read_samples`` yields them.
      field: as in ``label_of``.

    Raises:
      ShardError: the tar cannot be read to its end, so that nobody knows what is missing.
    """
    for sample in samples:
        if sample.problem in (Reason.NOT_A_TAR, Reason.TAR_TRUNCATED, Reason.TAR_CORRUPT):
            raise ShardError(sample.problem, sample.offset + sample.length, sample.detail)
        yield sample.problem or _picture(sample.members, field)


def _picture(members: Mapping[str, bytes], field: str) -> Picture | Reason:
    try:
        label = label_of(members, field)
        data = images.image_of(members)[1]
        images.decode(data)
    except SampleError as error:
        return error.reason
    return Reason.LABEL_MISSING if label is None else Picture(data, label)


def class_folders(folder: Path) -> list[Path]:
    """Returns the folders of a folder, each of which is a class (torchvision's ImageFolder), in order of name.

    One without a picture is a class all the same; one whose name starts with a dot is none.
    """
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def from_folder(folder: Path) -> Iterator[Picture | Reason]:
    """Yields every picture of a folder with a folder for each class, in order of path, or why it is left out."""
    yield from (Reason.LABEL_MISSING for path in folder.iterdir() if _is_image(path))
    for place in class_folders(folder):
        for path in sorted(filter(_is_image, place.rglob("*"))):
            data = path.read_bytes()
            try:
                images.decode(data)
            except SampleError as error:
                yield error.reason
            else:
                yield Picture(data, place.name)


def _is_image(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in images.IMAGE_EXTENSIONS and path.is_file()


def gather(
    read: Iterable[Picture | Reason],
    names: Sequence[str] | None,
    folders: Iterable[str] = (),
    flag: str = "--downstream",
) -> Labelled:
    """Numbers the classes, and counts what is left out.

    Without ``names``, the labels in sorted order are the classes. With them, class ``i`` is what ``names[i]`` says, and
    labels stand for it by the first of these rules that covers every one of them:

    1. all are in ``names`` (case, and ``_`` for a space, say nothing);
    2. each is a number below ``len(names)``, or in ``names``;
    3. they are folders, none is a number or in ``names``, and there is one for each name: both are in sorted order, as
       torchvision's ImageFolder numbers the folders of ImageNet.

    Args:
      read: the pictures of all shards or folders, and a reason for each that cannot be used.
      names: what the classes are called, by number; None when the labels are their names.
      folders: names of all class folders, those without a picture too; empty when the pictures are in shards.
      flag: that named the pictures, for messages.

    Raises:
      ConfigError: pictures of fewer than two classes, or labels that are numbers without names, or that no rule
        covers; stated once, with an example.
    """
    found: list[Picture] = []
    left_out: Counter[Reason] = Counter()
    for one in read:
        if isinstance(one, Picture):
            found.append(one)
        else:
            left_out[one] += 1
    seen = {picture.label for picture in found}
    if len(seen) < 2:
        summary = counts(left_out, ", left out: ")
        raise ConfigError(
            f"{flag}: {len(found)} pictures with a label, of {len(seen)} classes{summary}; it takes two classes "
            "or more (a .cls member, the json field that --label_field names, or a folder for each class)"
        )
    classes = sorted(seen.union(folders))
    if names is not None:
        numbers = _numbered(classes, names, bool(folders), flag)
    elif any(not _WHOLE.fullmatch(label) for label in classes):
        numbers = {label: number for number, label in enumerate(classes)}
    else:
        raise ConfigError(f"{flag}: labels are numbers ({classes[0]} ...); name the classes by --class_names FILE")
    called = [label.replace("_", " ") for label in classes] if names is None else list(names)
    return Labelled([p.image for p in found], [numbers[p.label] for p in found], called, dict(left_out))


def counts(left_out: Mapping[Reason, int], intro: str = "") -> str:
    """Returns ``intro`` and the counts by reason for people; empty when nothing was left out."""
    summary = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
    return summary and f"{intro}{summary}"


def _numbered(labels: Sequence[str], names: Sequence[str], folders: bool, flag: str) -> dict[str, int]:
    """Returns label -> number of its class, by the rules of ``gather``."""
    lines: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        lines.setdefault(_folded(name), []).append(number)
    by_name = {label: found[0] for label in labels if len(found := lines.get(_folded(label), [])) == 1}
    by_number = {label: int(label) for label in labels if _WHOLE.fullmatch(label)}
    if len(by_name) == len(labels):
        return by_name
    unknown = [label for label in labels if not 0 <= {**by_name, **by_number}.get(label, -1) < len(names)]
    if not unknown:
        return {**by_name, **by_number}
    if folders and not by_name and not by_number:
        if len(labels) == len(names):
            return {label: number for number, label in enumerate(labels)}
        raise ConfigError(
            f"--class_names has {len(names)} names, and {flag} {len(labels)} class folders that are none of them "
            f"({labels[0]} ...); write a name for each folder, in sorted order, or call the folders by name or number"
        )
    raise ConfigError(
        f"--class_names has {len(names)} names, and {len(unknown)} labels are none of them ({unknown[0][:80]} ...); a "
        f"label is a name that comes once, or a number, 0 for the first line, so up to {len(names) - 1}; complete it"
    )


def _folded(name: str) -> str:
    return name.replace("_", " ").casefold()


def read_lines(path: str, flag: str) -> list[str]:
    """Reads a text file of one name or prompt a line; blank lines at its end are left out, others are empty.

    Raises:
      InputError: it is absent, no text, or empty.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag} {path} cannot be read ({error}); it is a text file of one a line") from None
    if not lines:
        raise InputError(f"{flag} {path} is empty; it is a text file of one a line")
    return lines


def class_names(path: str) -> list[str]:
    """Returns the names of classes by number, a line each.

    Raises:
      InputError: the file is unusable, or a line before its last is blank, so that it is not clear what the number of
        the next one is.
    """
    lines = read_lines(path, "--class_names")
    if "" in lines:
        raise InputError(
            f"--class_names {path}: line {lines.index('') + 1} is blank; a class's number is that of its line, from 0"
        )
    return lines


def templates(path: str = "") -> list[str]:
    """Returns prompts with ``{}`` where the class stands: a file's, or the 80 of CLIP for ImageNet, from open_clip.

    Raises:
      InputError: the file is unusable, or a line has no ``{}``.
    """
    if not path:
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    lines = [line for line in read_lines(path, "--prompts") if line]
    wrong = [line for line in lines if "{}" not in line]
    if wrong:
        raise InputError(f"--prompts {path}: {len(wrong)} lines have no {{}} for the class ({wrong[0]!r})")
    return lines


def prompts(names: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Returns every template filled with every name, class by class: ``c`` times ``t`` texts."""
    return [line.replace("{}", name) for name in names for line in lines]
