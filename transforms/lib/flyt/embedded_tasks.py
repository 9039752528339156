"""The labelled pools of FLYT's training as embeddings, made once and kept under a digest of what they are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

from transforms.lib import stamps
from transforms.lib.arrays import Float32
from transforms.lib.devices import devices
from transforms.lib.flyt.labelled import prompts
from transforms.lib.flyt.task_batches import Embedded, Task
from transforms.lib.models import clip
from transforms.lib.samples import images

if TYPE_CHECKING:
    import torch

    from transforms.lib.models.spec import ModelSpec

VERSION = 1  # raise when the same pictures would give other embeddings
_PART = 256  # labelled pictures that are embedded between two decodes


class Shelf(Protocol):
    """Where files are kept between runs."""

    def read(self, name: str) -> bytes | None:
        """Returns a file, None where there is none."""

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, whole or not at all."""


def embed_images(model: clip.ClipModel, encoded: Sequence[bytes]) -> Float32:
    """Returns float32 ``[n, dim]``, unit norm, of encoded images; those of a part are decoded at a time."""
    parts = [np.zeros((0, model.dim), np.float32)]
    with ThreadPoolExecutor(devices.cpu_count(), "winnow-decode") as pool:
        for first in range(0, len(encoded), _PART):
            decoded = pool.map(lambda data: model.pixels(images.decode(data)), encoded[first : first + _PART])
            parts.append(model.embed_images(np.stack(list(decoded))))
    return np.concatenate(parts)


class Embedder:
    """Embeds tasks with one model, which is loaded only for what no earlier run embedded.

    Images and prompts have a file each, named by a digest of the model, of how it sees an image, of the device, and of
    the pictures or texts in their order; equal names, equal embeddings. A file that is damaged is made again.
    """

    def __init__(self, spec: ModelSpec, device: str, load: Callable[[], clip.ClipModel], shelf: Shelf) -> None:
        self._made_by = [VERSION, spec.weights_sha256, spec.preprocess, spec.image_size, device]
        self._load, self._shelf, self._device = load, shelf, device
        self._model: clip.ClipModel | None = None

    def logit_scale(self) -> float:
        """Returns the natural logarithm of the model's inverse temperature."""
        kept = self._kept("scale", [], lambda model: model.network.logit_scale.detach().float().reshape(1))
        return float(kept.item())

    def embed(self, task: Task) -> Embedded:
        """Returns the embeddings of a task, on the device."""
        import torch

        digests = [hashlib.sha256(image).hexdigest() for image in task.labelled.images]
        texts = prompts(task.labelled.names, task.templates)
        image = self._kept("images", digests, lambda model: torch.from_numpy(embed_images(model, task.labelled.images)))
        text = self._kept("texts", texts, lambda model: torch.from_numpy(model.embed_texts(texts)))
        shape = len(task.labelled.names), len(task.templates), -1
        labels = torch.tensor(task.labelled.labels, device=self._device)
        return Embedded(task.name, image.to(self._device), labels, text.to(self._device).reshape(shape))

    def _kept(self, what: str, of: Sequence[str], make: Callable[[clip.ClipModel], torch.Tensor]) -> torch.Tensor:
        from safetensors import SafetensorError
        from safetensors.torch import load, save

        name = f"{what}-{stamps.stamp(made_by=self._made_by, of=list(of))}.safetensors"
        data = self._shelf.read(name)
        if data is not None:
            try:
                kept: torch.Tensor = load(data)[what]
                return kept
            except (SafetensorError, KeyError):
                pass
        if self._model is None:
            self._model = self._load()
        found = make(self._model).cpu().contiguous()
        self._shelf.write(name, save({what: found}))
        return found
