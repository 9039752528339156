"""Load an open_clip model and embed images and captions with it; torch is imported only when that happens."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from transforms.lib import networks, texttower, tinyclip
from transforms.lib.devices import Workers, cpu_count, device_of, full_precision, keep_freed_memory
from transforms.lib.errors import InputError
from transforms.lib.lanes import Gpu, lanes_of
from transforms.lib.modelfiles import PREPROCESS, Fetch, local_only, locate, sha256_of
from transforms.lib.modelspec import ModelSpec
from transforms.lib.pixelviews import View, view
from transforms.lib.staging import DEPTH, Batch, Pixels, Ring, Room, batch_of, queued, uploaded

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

T = TypeVar("T")

TEXT_BATCH = {"cpu": 64, "cuda": 256}  # activations of 256 whole captions take 200 MB more, and no less time


@dataclasses.dataclass(eq=False)
class ClipModel:
    """An open_clip model with its preprocessing and tokenizer.

    A plain class and no tuple, since Beam shares models by weak reference.

    Attributes:
      dim: of the embeddings.
      view: what it sees of an image.
      network: the open_clip model.
      tokenize: captions -> int64 ``[n, context]``.
      part: ``image`` or ``text`` when only that tower is wanted; empty for both.
    """

    dim: int
    network: Any
    view: View
    tokenize: Callable[[list[str]], torch.Tensor]
    _mean: torch.Tensor
    _std: torch.Tensor
    _device: str
    _dtype: torch.dtype
    _batch_size: int
    part: str
    _cut: texttower.CutTower | None
    _workers: Workers | None = None
    _gpu: Gpu | None = None
    _tokenizing: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    _image_room: Room = dataclasses.field(default_factory=Room)
    _text_room: Room = dataclasses.field(default_factory=Room)
    _here: threading.local = dataclasses.field(default_factory=threading.local)

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """Returns uint8 ``[size, size, 3]`` of the network's view of an image; errors as ``View.pixels``."""
        return self.view.pixels(image)

    def embed_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns float32 ``[n, dim]``, unit norm, of uint8 ``[n, size, size, 3]`` from ``pixels``.

        Batches have one shape, the last one padded, so that a row depends on its own batch alone.
        """
        return self._images(pixels, True)

    @property
    def depth(self) -> int:
        """Batches that ``start_images`` may be given before the first one's embeddings are fetched."""
        return self._workers.count + 1 if self._workers else DEPTH

    def batch_of(self, pixels: Sequence[Pixels]) -> Batch:
        """Returns what ``start_images`` takes, of the pixels of single images; models of one view may share it."""
        return batch_of(pixels, self._gpu)

    def start_images(self, pixels: Batch) -> Callable[[], tuple[NDArray[np.float32], float]]:
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

    def _staged(self, pixels: Batch, gpu: Gpu) -> Callable[[], tuple[NDArray[np.float32], float]]:
        if not hasattr(self._here, "ring"):  # of its own for every thread, so that none waits for another's
            self._here.ring = Ring(self._batch_size, gpu)
        ring: Ring = self._here.ring
        return ring.start(pixels, lambda batch: self._image_room.run(lambda part: self._embedded(part, True), batch))

    def _images(self, pixels: NDArray[np.uint8], unit: bool) -> NDArray[np.float32]:
        parts = [pixels[start : start + self._batch_size] for start in range(0, len(pixels), self._batch_size)]
        found = self._mapped(lambda part: self._image_batch(part, unit), parts)
        return np.concatenate(found) if found else np.zeros((0, self.dim), np.float32)

    def _mapped(self, work: Callable[[T], NDArray[np.float32]], parts: Sequence[T]) -> list[NDArray[np.float32]]:
        return self._workers.map(work, parts) if self._workers else [work(part) for part in parts]

    def _image_batch(self, pixels: NDArray[np.uint8], unit: bool) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            batch = torch.zeros((self._batch_size, *pixels.shape[1:]), dtype=torch.uint8)
            batch.numpy()[: len(pixels)] = pixels  # from_numpy warns of pixels that may only be read
            embedded = self._image_room.run(lambda rows: self._embedded(rows.to(self._device), unit), batch)
            found: NDArray[np.float32] = embedded.cpu().numpy()[: len(pixels)]
        return found

    def _embedded(self, batch: torch.Tensor, unit: bool) -> torch.Tensor:
        with self._exactly():
            embedded: torch.Tensor = self.network.encode_image(self.normalise(batch), normalize=unit).float()
        return embedded

    def _exactly(self) -> AbstractContextManager[None]:
        """Returns what fp32 on a GPU is queued in, so that it is fp32 and not TF32."""
        import torch

        full = self._device == "cuda" and self._dtype is torch.float32
        return full_precision() if full else contextlib.nullcontext()

    def normalise(self, batch: torch.Tensor) -> torch.Tensor:
        """Returns the network's input of uint8 ``[batch, size, size, 3]``: ToTensor and Normalize, exactly."""
        images = batch.to(self._device).permute(0, 3, 1, 2).contiguous().float().div(255)
        return images.sub_(self._mean).div_(self._std).to(self._dtype)

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Returns int64 ``[n, context]``; safe to call from several threads."""
        with self._tokenizing:  # the tokenizers of transformers are not
            return self.tokenize(list(texts))

    def embed_tokens(self, tokens: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        """Returns float32 ``[n, dim]``, unit norm, one row a caption, in the order given.

        The captions are sorted by length; where nothing behind the end of a text has a say (``texttower.cuttable``)
        they are cut to the longest of a batch: the same embedding, a fraction of the work.

        Args:
          tokens: pieces from ``tokens``, int64 ``[_, context]``; ``n`` is the sum of their rows.
        """
        import torch

        return self._texts(torch.cat(list(tokens)), True)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns float32 ``[n, dim]``, unit norm, one row a caption, in the order given."""
        return self._texts(self.tokens(texts), True) if texts else np.zeros((0, self.dim), np.float32)

    def start_tokens(
        self, tokens: Sequence[torch.Tensor], turn: AbstractContextManager[Any]
    ) -> Callable[[], tuple[NDArray[np.float32], float]]:
        """Starts embedding captions; what it returns waits for what ``embed_tokens`` gives, and for GPU seconds.

        Without a GPU the work is done before it returns.

        Args:
          tokens: as for ``embed_tokens``.
          turn: held while a batch is queued for a GPU, one by one, and on a CPU until all captions are embedded.
        """
        import torch

        whole, gpu = torch.cat(list(tokens)), self._gpu
        if gpu is None:
            with turn:
                embedded = self._texts(whole, True)
            return lambda: (embedded, 0.0)
        order, batches = self._sorted(whole)
        started = []
        for batch in batches:
            with turn:
                start = functools.partial(self._uploaded_text, batch, gpu)
                started.append(queued(gpu, start)[1])

        def result() -> tuple[NDArray[np.float32], float]:
            parts = [one() for one in started]
            found = np.concatenate([rows for rows, _ in parts])[torch.argsort(order).numpy()]
            return found, sum(busy for _, busy in parts)

        return result

    def _uploaded_text(self, batch: torch.Tensor, gpu: Gpu) -> torch.Tensor:
        return self._text_batch(uploaded(gpu, batch), True)

    def _sorted(self, tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Returns the order of captions by length, and their tokens in that order, in batches and cut."""
        import torch

        order = torch.arange(len(tokens))
        lengths = torch.full((len(tokens),), tokens.shape[1])
        if self._cut is not None:
            lengths = self._cut.lengths(tokens)
            order = torch.argsort(lengths, stable=True, descending=True)  # the long ones first: workers end together
        parts = order.split(TEXT_BATCH[self._device])
        cut = [texttower.rounded(int(lengths[rows].max()), tokens.shape[1]) for rows in parts]
        return order, [tokens[rows, :length] for rows, length in zip(parts, cut, strict=True)]

    def _texts(self, tokens: torch.Tensor, unit: bool) -> NDArray[np.float32]:
        import torch

        def embedded(batch: torch.Tensor) -> NDArray[np.float32]:
            with torch.inference_mode():
                found: NDArray[np.float32] = self._text_batch(batch, unit).cpu().numpy()
            return found

        order, batches = self._sorted(tokens)
        every: NDArray[np.float32] = np.concatenate(self._mapped(embedded, batches))[torch.argsort(order).numpy()]
        return every

    def _text_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        """Returns float32 ``[n, dim]``, in pieces where the device has no room for all rows.

        Rows are filled up before they are cut, and to no more than there is room for: a piece is run as it is.
        """
        room = self._text_room
        if self._cut is not None:
            rows = min(room.rows or texttower.CAPTIONS, texttower.CAPTIONS)
            return room.run(lambda part: self._cut_batch(part, unit), texttower.filled(tokens, rows))[: len(tokens)]
        return room.run(lambda part: self._whole_batch(part, unit), tokens)

    def _whole_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        with self._exactly():
            whole: torch.Tensor = self.network.encode_text(tokens.to(self._device), normalize=unit).float()
        return whole

    def _cut_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        import torch

        with self._exactly():
            embedded = cast(texttower.CutTower, self._cut).encode(tokens.to(self._device))
        return (torch.nn.functional.normalize(embedded, dim=-1) if unit else embedded).float()

    def features_of(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns what the image tower gives, not normalised: float32 ``[n, width]``."""
        return self._images(pixels, False)

    def text_features_of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns what the text tower gives, not normalised: float32 ``[n, width]``."""
        return self._texts(self.tokens(texts), False)


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
      spec: from ``modelspec.resolve``.
      device: ``cpu`` or ``cuda``.
      precision: ``fp32``, ``bf16`` or ``fp16``, of weights and activations; embeddings come out as float32.
      threads: batches that are embedded at once on a CPU, each by one thread; all cores when None.
      batch_size: images a forward pass takes.
      fetch: address of a file or folder -> local path.
      workers: shared with other models of the process; ``threads`` of its own when None.

    Raises:
      InputError: the weights are not those of the spec, or the GPU is not there.
    """
    device = device_of(device)
    config, weights = locate(spec, fetch)
    digest = tinyclip.weights_sha256() if spec.kind == "tinyclip" else sha256_of(weights)
    if digest != spec.weights_sha256:
        raise InputError(
            f"--model {spec.name}: the weights have sha256 {digest} here, {spec.weights_sha256} at the start"
        )
    network, tokenize = networks.build(spec, weights, precision)
    network = network.to(device)
    if device == "cpu":
        keep_freed_memory()
    more = {"device": device, "precision": precision, "variant": spec.variant, "part": spec.part}
    if device == "cpu" and workers is None:
        workers = Workers(threads or cpu_count())
    return dataclasses.replace(wrap(network, tokenize, config, batch_size=batch_size, **more), _workers=workers)


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
        _cut=texttower.cuttable(network),
        _gpu=lanes_of(device) if device == "cuda" else None,
    )
