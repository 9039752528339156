"""Labelled pictures: which class a sample is of, what the classes are called, and the prompts made of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from transforms.lib import captions, images
from transforms.lib.errors import ConfigError, InputError, SampleError
from transforms.lib.tarshard import RawSample


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
    """

    images: list[bytes]
    labels: list[int]
    names: list[str]


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


def from_samples(samples: Iterable[RawSample], field: str = "") -> Iterator[Picture]:
    """Yields the samples of a shard that have a label and an image that decodes; others are left out."""
    for sample in samples:
        try:
            if sample.problem is None and (label := label_of(sample.members, field)) is not None:
                data = images.image_of(sample.members)[1]
                images.decode(data)
                yield Picture(data, label)
        except SampleError:
            continue


def from_folder(folder: Path) -> Iterator[Picture]:
    """Yields the pictures of a folder with a folder for each class (torchvision's ImageFolder), in order of path."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(place.rglob("*")):
            if path.suffix.lower().removeprefix(".") in images.IMAGE_EXTENSIONS and path.is_file():
                data = path.read_bytes()
                try:
                    images.decode(data)
                except SampleError:
                    continue
                yield Picture(data, place.name)


def gather(pictures: Iterable[Picture], names: Sequence[str] | None, *, ordered: bool = False) -> Labelled:
    """Numbers the classes.

    Args:
      pictures: of all shards or folders.
      names: what the classes are called, by number; None when the labels are their names.
      ordered: labels are no numbers but stand for them in sorted order, as the folders of ImageFolder do.

    Raises:
      ConfigError: fewer than two classes, or labels that are numbers without names, out of range or unknown; told once
        with an example.
    """
    found = list(pictures)
    seen = sorted({picture.label for picture in found})
    if len(seen) < 2:
        raise ConfigError(
            f"--downstream: {len(found)} pictures with a label, of {len(seen)} classes; it takes two classes or more "
            "(a .cls member, the json field that --label_field names, or a folder for each class)"
        )
    if names is None:
        if all(label.isdigit() for label in seen):
            raise ConfigError(
                f"--downstream: labels are numbers ({seen[0]} ...); name the classes by --class_names FILE"
            )
        numbers = {label: number for number, label in enumerate(seen)}
        called = [label.replace("_", " ") for label in seen]
    else:
        called = list(names)
        known = {name: number for number, name in enumerate(called)}
        if ordered:
            numbers = {label: number for number, label in enumerate(seen)}
        else:
            numbers = {label: int(label) if label.isdigit() else known.get(label, -1) for label in seen}
        wrong = [label for label, number in numbers.items() if not 0 <= number < len(called)]
        if wrong:
            raise ConfigError(
                f"--class_names has {len(called)} names, and {len(wrong)} labels are none of them ({wrong[0]} ...)"
            )
    return Labelled([p.image for p in found], [numbers[p.label] for p in found], called)


def read_lines(path: str, flag: str) -> list[str]:
    """Reads a text file of one name or prompt a line.

    Raises:
      InputError: it is absent, no text, or empty.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{flag} {path} cannot be read ({error}); it is a text file of one a line") from None
    if not lines:
        raise InputError(f"{flag} {path} is empty; it is a text file of one a line")
    return lines


def templates(path: str = "") -> list[str]:
    """Returns prompts with ``{}`` where the class stands: a file's, or the 80 of CLIP for ImageNet, from open_clip.

    Raises:
      InputError: the file is unusable, or a line has no ``{}``.
    """
    if not path:
        from open_clip import OPENAI_IMAGENET_TEMPLATES

        return [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
    lines = read_lines(path, "--prompts")
    wrong = [line for line in lines if "{}" not in line]
    if wrong:
        raise InputError(f"--prompts {path}: {len(wrong)} lines have no {{}} for the class ({wrong[0]!r})")
    return lines


def prompts(names: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Returns every template filled with every name, class by class: ``c`` times ``t`` texts."""
    return [line.replace("{}", name) for name in names for line in lines]
