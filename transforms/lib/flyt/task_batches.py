"""The labelled pools and the batches of FLYT's training, as each kind of reference model wants them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.flyt.labelled import Labelled
from transforms.lib.flyt.meta_gradient import Downstream, Sides
from transforms.lib.flyt.reference_model import Projections, Towers
from transforms.lib.models import clip
from transforms.lib.samples import images

if TYPE_CHECKING:
    import torch


class Task(NamedTuple):
    """What the reference is to get right, as pictures.

    Attributes:
      name: of the task; empty where it is the only one.
      labelled: pictures and classes.
      templates: of the prompts.
    """

    name: str
    labelled: Labelled
    templates: Sequence[str]


class Embedded(NamedTuple):
    """What the reference is to get right, as embeddings.

    Attributes:
      name: as in ``Task``.
      images: float32 ``[n, dim]``, unit norm.
      labels: int64 ``[n]``.
      texts: float32 ``[classes, templates, dim]``, unit norm.
    """

    name: str
    images: torch.Tensor
    labels: torch.Tensor
    texts: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Draws:
    """Which labelled pictures and which prompts a step sees: a function of seed, step and task alone.

    Attributes:
      seed: of every draw.
      batch_size: labelled pictures of a task a step, or all where there are fewer.
    """

    seed: int
    batch_size: int

    def of(
        self, step: int, task: str, pictures: int, classes: int, templates: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns distinct pictures, int64 ``[batch]``, and a template for each class, int64 ``[classes]``."""
        import torch

        key = int(stamps.stamp(seed=self.seed, step=step, what=f"downstream {task}".rstrip()), 16) >> 1
        generator = torch.Generator().manual_seed(key)
        rows = torch.randperm(pictures, generator=generator)[: self.batch_size]
        return rows, torch.randint(templates, (classes,), generator=generator)


class Feed(Protocol):
    """Turns data into the two sides of batches for one kind of reference."""

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        """Returns a batch of the pool: its embeddings, its encoded images and its captions."""

    def downstream(self, step: int) -> list[Downstream]:
        """Returns the labelled batch of each task at a step."""


@dataclasses.dataclass(frozen=True)
class Frozen(Feed):
    """Feeds ``Projections``: every embedding is made once, before training.

    Attributes:
      reference: the projections.
      tasks: one or more.
      draws: of each step.
    """

    reference: Projections
    tasks: Sequence[Embedded]
    draws: Draws

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        sides = [self.tasks[0].images.new_tensor(values.astype(np.float32)) for values in (image, text)]
        return Sides(self.reference.image(sides[0]), self.reference.text(sides[1]))

    def downstream(self, step: int) -> list[Downstream]:
        return [self._of(task, step) for task in self.tasks]

    def _of(self, task: Embedded, step: int) -> Downstream:
        rows, picked = self.draws.of(step, task.name, len(task.labels), *task.texts.shape[:2])
        texts = task.texts[np.arange(len(picked)), picked]
        return Downstream(Sides(self.reference.image(task.images[rows]), self.reference.text(texts)), task.labels[rows])


@dataclasses.dataclass(frozen=True)
class Whole(Feed):
    """Feeds ``Towers``: images are decoded step by step.

    Attributes:
      reference: the towers.
      model: its preprocessing and tokenizer.
      tasks: one or more.
      draws: of each step.
      pool: runs the decoding.
      device: of the tensors.
    """

    reference: Towers
    model: clip.ClipModel
    tasks: Sequence[Task]
    draws: Draws
    pool: ThreadPoolExecutor
    device: str

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        return Sides(self._images(encoded), self._texts(captions))

    def downstream(self, step: int) -> list[Downstream]:
        return [self._of(task, step) for task in self.tasks]

    def _of(self, task: Task, step: int) -> Downstream:
        import torch

        classes = task.labelled.names
        rows, picked = self.draws.of(step, task.name, len(task.labelled.labels), len(classes), len(task.templates))
        texts = [task.templates[at].replace("{}", name) for at, name in zip(picked.tolist(), classes, strict=True)]
        encoded = [task.labelled.images[row] for row in rows.tolist()]
        labels = torch.tensor(task.labelled.labels, device=self.device)[rows.to(self.device)]
        return Downstream(Sides(self._images(encoded), self._texts(texts)), labels)

    def _images(self, encoded: Sequence[bytes]) -> list[Callable[[dict[str, torch.Tensor]], torch.Tensor]]:
        import torch

        pixels = np.stack(list(self.pool.map(lambda data: self.model.pixels(images.decode(data)), encoded)))
        return self.reference.image(self.model.normalise(torch.from_numpy(pixels)))

    def _texts(self, texts: Sequence[str]) -> list[Callable[[dict[str, torch.Tensor]], torch.Tensor]]:
        return self.reference.text(self.model.tokenize(list(texts)).to(self.device))
