"""Load an open_clip model and embed images and captions with it; torch is imported only when that happens."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32
from transforms.lib.devices.cuda_streams import Gpu, streams_of
from transforms.lib.devices.devices import Workers, cpu_count, device_of, keep_freed_memory
from transforms.lib.devices.staging import DEPTH, PixelBatch, Pixels, Ring, RowLimit, batch_of
from transforms.lib.errors import InputError
from transforms.lib.models import building, dynamic_padding, tinyclip
from transforms.lib.models.clip_text import CaptionTower
from transforms.lib.models.locate import Fetch, local_only, locate
from transforms.lib.models.preprocessing import Preprocess, view
from transforms.lib.models.spec import ModelSpec
from transforms.lib.models.trained_with import PREPROCESS
from transforms.lib.stamps import sha256_of

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image


@dataclasses.dataclass(eq=False, kw_only=True)
class ClipModel(CaptionTower):
    """An open_clip model with its preprocessing and tokenizer.

    A plain class and no tuple, since Beam shares models by weak reference.

    Attributes:
      view: what it sees of an image.
      part: ``image`` or ``text`` when only that tower is wanted; empty for both.
    """

    view: Preprocess
    part: str
    _mean: torch.Tensor
    _std: torch.Tensor
    _batch_size: int
    _image_room: RowLimit = dataclasses.field(default_factory=RowLimit)
    _here: threading.local = dataclasses.field(default_factory=threading.local)

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """Returns uint8 ``[size, size, 3]`` of the network's view of an image; errors as ``Preprocess.pixels``."""
        return self.view.pixels(image)

    def embed_images(self, pixels: NDArray[np.uint8]) -> Float32:
        """Returns float32 ``[n, dim]``, unit norm, of uint8 ``[n, size, size, 3]`` from ``pixels``.

        Batches have one shape, the last one padded, so that a row depends on its own batch alone.
        """
        return self._images(pixels, True)

    @property
    def depth(self) -> int:
        """Batches that ``start_images`` may be given before the first one's embeddings are fetched."""
        return self._workers.count + 1 if self._workers else DEPTH

    def batch_of(self, pixels: Sequence[Pixels]) -> PixelBatch:
        """Returns what ``start_images`` takes, of the pixels of single images; models of one view may share it."""
        return batch_of(pixels, self._gpu)

    def start_images(self, pixels: PixelBatch) -> Callable[[], tuple[Float32, float]]:
        """Starts embedding at most ``batch_size`` images; what it returns waits for the embeddings and GPU seconds.

        Without a GPU and without workers the work is done before it returns.
        """
        if self._gpu is not None:
            return self._staged(pixels, self._gpu)
        assert not callable(pixels)
        if self._workers:
            future = self._workers.start(self._image_batch, pixels, True)
            return lambda: (future.result(), 0.0)
        found = self._image_batch(pixels, True)
        return lambda: (found, 0.0)

    def _staged(self, pixels: PixelBatch, gpu: Gpu) -> Callable[[], tuple[Float32, float]]:
        if not hasattr(self._here, "ring"):  # of its own for every thread, so that none waits for another's
            self._here.ring = Ring(self._batch_size, gpu)
        ring: Ring = self._here.ring
        return ring.start(pixels, lambda batch: self._image_room.run(lambda part: self._embedded(part, True), batch))

    def _images(self, pixels: NDArray[np.uint8], unit: bool) -> Float32:
        parts = [pixels[start : start + self._batch_size] for start in range(0, len(pixels), self._batch_size)]
        found = self._mapped(lambda part: self._image_batch(part, unit), parts)
        return np.concatenate(found) if found else np.zeros((0, self.dim), np.float32)

    def _image_batch(self, pixels: NDArray[np.uint8], unit: bool) -> Float32:
        import torch

        with torch.inference_mode():
            batch = torch.zeros((self._batch_size, *pixels.shape[1:]), dtype=torch.uint8)
            batch.numpy()[: len(pixels)] = pixels  # from_numpy warns of pixels that may only be read
            embedded = self._image_room.run(lambda rows: self._embedded(rows.to(self._device), unit), batch)
            found: Float32 = embedded.cpu().numpy()[: len(pixels)]
        return found

    def _embedded(self, batch: torch.Tensor, unit: bool) -> torch.Tensor:
        with self._exactly():
            embedded: torch.Tensor = self.network.encode_image(self.normalise(batch), normalize=unit).float()
        return embedded

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """Returns the network's input of uint8 ``[batch, size, size, 3]``: ToTensor and Normalize, exactly."""
        images = batch.to(self._device).permute(0, 3, 1, 2).contiguous().float().div(255)
        return images.sub_(self._mean).div_(self._std).to(self._dtype)

    def features_of(self, pixels: NDArray[np.uint8]) -> Float32:
        """Returns what the image tower gives, not normalised: float32 ``[n, width]``."""
        return self._images(pixels, False)


def load(
    spec: ModelSpec,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    threads: int | None = None,
    batch_size: int = 8,
    fetch: Fetch = local_only,
    workers: Workers | None = None,
) -> ClipModel:
    """Loads a model on a worker.

    Args:
      spec: from ``resolve.resolve``.
      device: ``cpu`` or ``cuda``.
      precision: ``fp32``, ``bf16`` or ``fp16``, of weights and activations; embeddings come out as float32.
      threads: batches that are embedded at once on a CPU, each by one thread; all cores when None.
      batch_size: images per forward pass.
      fetch: address of a file or folder -> local path.
      workers: shared with other models of the process; ``threads`` of its own when None.

    Raises:
      InputError: the weights are not those of the spec, or the GPU is not there.
    """
    device = device_of(device)
    found = locate(spec, fetch)
    digest = tinyclip.weights_sha256() if spec.kind == "tinyclip" else sha256_of(found.weights)
    if digest != spec.weights_sha256:
        raise InputError(
            f"--model {spec.name}: the weights have sha256 {digest} here, {spec.weights_sha256} at the start"
        )
    if spec.files and found.digest() != spec.files:
        raise InputError(f"--model {spec.name}: configuration or tokenizer differ from those at the start; start again")
    network, tokenize = building.build(spec, found, precision)
    network = network.to(device)
    if device == "cpu":
        keep_freed_memory()
    more = {"device": device, "precision": precision, "variant": spec.variant, "part": spec.part}
    if device == "cpu" and workers is None:
        workers = Workers(threads or cpu_count())
    return dataclasses.replace(wrap(network, tokenize, found.config, batch_size=batch_size, **more), _workers=workers)


def wrap(
    network: Any,
    tokenize: Callable[[list[str]], torch.Tensor],
    config: dict[str, Any],
    *,
    device: str = "cpu",
    precision: str = "fp32",
    batch_size: int = 64,
    variant: str = "exact",
    part: str = "",
) -> ClipModel:
    """Returns a network of open_clip with the preprocessing that its configuration names, or a variant of it."""
    import torch

    preprocess = {**PREPROCESS, **config.get("preprocess_cfg", {})}
    size = config["model_cfg"]["vision_cfg"].get("image_size", 224)
    shape = (1, 3, 1, 1)
    return ClipModel(
        dim=int(config["model_cfg"]["embed_dim"]),
        network=network,
        view=view(preprocess, size, variant),
        tokenize=tokenize,
        _mean=torch.tensor(preprocess["mean"], device=device).view(shape),
        _std=torch.tensor(preprocess["std"], device=device).view(shape),
        _device=device,
        _dtype={"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision],
        _batch_size=batch_size,
        part=part,
        _cut=dynamic_padding.cuttable(network),
        _gpu=streams_of(device) if device == "cuda" else None,
    )
