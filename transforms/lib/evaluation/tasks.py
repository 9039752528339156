"""Evaluation sets ready to be asked of a network, and the answers as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Int64
from transforms.lib.evaluation import zero_shot

BATCH = 256  # pictures or texts per forward pass


class Task(NamedTuple):
    """An evaluation set.

    Attributes:
      name: of the set.
      pixels: uint8 ``[n, size, size, 3]``.
      tokens: int ``[m, context]``: captions, or prompts class by class.
      right: bool ``[n, m]``, which captions are right; of a set with classes, None.
      labels: int64 ``[n]``; of a set with captions, None.
      classes: how many there are; of a set with captions, 0.
    """

    name: str
    pixels: NDArray[np.uint8]
    tokens: NDArray[Any]
    right: Bool | None = None
    labels: Int64 | None = None
    classes: int = 0


def right_captions(captions: Sequence[str]) -> tuple[list[str], Bool]:
    """Splits captions, a line each, and says which are right for which picture.

    Args:
      captions: ``n`` texts of one or several lines; lines that are equal but for case and spaces are one caption.

    Returns:
      ``m`` distinct captions, in order of first sight, and bool ``[n, m]``.
    """
    numbers: dict[str, int] = {}
    texts: list[str] = []
    rows: list[list[int]] = []
    for caption in captions:
        lines = [" ".join(line.split()) for line in caption.splitlines() if line.strip()] or [""]
        rows.append([numbers.setdefault(line.lower(), len(numbers)) for line in lines])
        for line, number in zip(lines, rows[-1], strict=True):
            if number == len(texts):
                texts.append(line)
    right = np.zeros((len(captions), len(texts)), np.bool_)
    for row, found in enumerate(rows):
        right[row, found] = True
    return texts, right


def measure(network: Any, tasks: Iterable[Task], normalise: Callable[[Any], Any], device: str) -> dict[str, float]:
    """Returns TASK.METRIC -> value in [0, 1] of a network in evaluation mode.

    Args:
      network: of open_clip.
      tasks: to ask.
      normalise: uint8 tensor ``[batch, size, size, 3]`` -> the network's input.
      device: where the network is.
    """
    found: dict[str, float] = {}
    for task in tasks:
        image = _embedded(lambda part: network.encode_image(normalise(part), normalize=True), task.pixels)
        text = _embedded(lambda part: network.encode_text(part.long().to(device), normalize=True), task.tokens)
        if task.labels is not None:
            vectors = zero_shot.class_vectors(text, task.classes)
            figures = zero_shot.classification(image, vectors, task.labels)
        else:
            assert task.right is not None
            figures = zero_shot.retrieval(image, text, task.right)
        found |= {f"{task.name}.{metric}": value for metric, value in figures.items()}
    return found


def _embedded(embed: Callable[[Any], Any], rows: NDArray[Any]) -> Float32:
    import torch

    with torch.inference_mode():
        parts = [embed(torch.from_numpy(rows[at : at + BATCH])).float().cpu() for at in range(0, len(rows), BATCH)]
    found: Float32 = torch.cat(parts).numpy()
    return found
