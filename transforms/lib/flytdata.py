"""The labelled pool and the batches of FLYT's training, as each kind of reference model wants them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from transforms.lib import clip, devices, images, stamps
from transforms.lib.flytref import Projections, Towers
from transforms.lib.labelled import Labelled, prompts
from transforms.lib.metagrad import Downstream, Sides

if TYPE_CHECKING:
    import torch

_PART = 256  # labelled pictures that are embedded between two decodes


@dataclasses.dataclass(frozen=True)
class Draws:
    """Which labelled pictures and which prompts a step sees: a function of seed and step alone.

    Attributes:
      seed: of every draw.
      batch_size: labelled pictures a step, or all where there are fewer.
    """

    seed: int
    batch_size: int

    def of(self, step: int, pictures: int, classes: int, templates: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns distinct pictures, int64 ``[batch]``, and a template for each class, int64 ``[classes]``."""
        import torch

        key = int(stamps.stamp(seed=self.seed, step=step, what="downstream"), 16) >> 1
        generator = torch.Generator().manual_seed(key)
        rows = torch.randperm(pictures, generator=generator)[: self.batch_size]
        return rows, torch.randint(templates, (classes,), generator=generator)


class Feed(Protocol):
    """Turns data into the two sides of batches for one kind of reference."""

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        """Returns a batch of the pool: its embeddings, its encoded images and its captions."""

    def downstream(self, step: int) -> Downstream:
        """Returns the labelled batch of a step."""


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Feeds ``Projections``: every embedding is made once, before training.

    Attributes:
      reference: the projections.
      images: float32 ``[n, dim]``, unit norm.
      labels: int64 ``[n]``.
      texts: float32 ``[classes, templates, dim]``, unit norm.
      draws: of each step.
    """

    reference: Projections
    images: torch.Tensor
    labels: torch.Tensor
    texts: torch.Tensor
    draws: Draws

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        sides = [self.images.new_tensor(values.astype(np.float32)) for values in (image, text)]
        return Sides(self.reference.image(sides[0]), self.reference.text(sides[1]))

    def downstream(self, step: int) -> Downstream:
        rows, picked = self.draws.of(step, len(self.labels), *self.texts.shape[:2])
        texts = self.texts[np.arange(len(picked)), picked]
        return Downstream(Sides(self.reference.image(self.images[rows]), self.reference.text(texts)), self.labels[rows])


@dataclasses.dataclass(frozen=True)
class Whole:
    """Feeds ``Towers``: images are decoded step by step.

    Attributes:
      reference: the towers.
      model: its preprocessing and tokenizer.
      labelled: pictures and classes.
      templates: of the prompts.
      draws: of each step.
      pool: runs the decoding.
      device: of the tensors.
    """

    reference: Towers
    model: clip.ClipModel
    labelled: Labelled
    templates: Sequence[str]
    draws: Draws
    pool: ThreadPoolExecutor
    device: str

    def upstream(
        self, image: NDArray[np.float16], text: NDArray[np.float16], encoded: Sequence[bytes], captions: Sequence[str]
    ) -> Sides:
        return Sides(self._images(encoded), self._texts(captions))

    def downstream(self, step: int) -> Downstream:
        import torch

        classes = self.labelled.names
        rows, picked = self.draws.of(step, len(self.labelled.labels), len(classes), len(self.templates))
        texts = [self.templates[at].replace("{}", name) for at, name in zip(picked.tolist(), classes, strict=True)]
        encoded = [self.labelled.images[row] for row in rows.tolist()]
        labels = torch.tensor(self.labelled.labels, device=self.device)[rows.to(self.device)]
        return Downstream(Sides(self._images(encoded), self._texts(texts)), labels)

    def _images(self, encoded: Sequence[bytes]) -> list[Callable[[dict[str, torch.Tensor]], torch.Tensor]]:
        import torch

        pixels = np.stack(list(self.pool.map(lambda data: self.model.pixels(images.decode(data)), encoded)))
        return self.reference.image(self.model.normalise(torch.from_numpy(pixels)))

    def _texts(self, texts: Sequence[str]) -> list[Callable[[dict[str, torch.Tensor]], torch.Tensor]]:
        return self.reference.text(self.model.tokenize(list(texts)).to(self.device))


def freeze(
    model: clip.ClipModel,
    labelled: Labelled,
    templates: Sequence[str],
    draws: Draws,
    device: str,
    random_seed: int | None = None,
) -> Frozen:
    """Embeds a labelled pool and its prompts once.

    Args:
      model: that made the embeddings of the pool.
      labelled: pictures and classes.
      templates: of the prompts.
      draws: of each step.
      device: of the tensors.
      random_seed: as in ``Projections``.
    """
    import torch

    parts = []
    with ThreadPoolExecutor(devices.cpu_count(), "winnow-decode") as pool:
        for first in range(0, len(labelled.images), _PART):
            encoded = labelled.images[first : first + _PART]
            pixels = np.stack(list(pool.map(lambda data: model.pixels(images.decode(data)), encoded)))
            parts.append(model.embed_images(pixels))
    texts = model.embed_texts(prompts(labelled.names, templates))
    return Frozen(
        Projections(model.dim, model.network.logit_scale.item(), random_seed),
        torch.from_numpy(np.concatenate(parts)).to(device),
        torch.tensor(labelled.labels, device=device),
        torch.from_numpy(texts.reshape(len(labelled.names), len(templates), -1)).to(device),
        draws,
    )
