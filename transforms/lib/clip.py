"""Load an open_clip model and embed images and captions with it; torch is imported only when that happens."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from transforms.lib import texttower, tinyclip
from transforms.lib.errors import InputError
from transforms.lib.modelspec import PREPROCESS, Fetch, ModelSpec, local_only, locate, sha256_of
from transforms.lib.pixelviews import View, view
from transforms.lib.staging import Ring, Room

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

PRECISIONS = {"fp32": "fp32", "bf16": "pure_bf16", "fp16": "pure_fp16"}
TEXT_BATCH = {"cpu": 64, "cuda": 256}  # activations of 256 whole captions take 200 MB more, and no less time
DRIVER = "/proc/driver/nvidia"  # there when NVIDIA's kernel module is


def cpu_count() -> int:
    """Returns the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Tells glibc to keep the memory that activations free from now on for the next batch; does nothing elsewhere.

    By default every tensor of some megabytes is mapped from the kernel, zeroed page by page, and given back, layer by
    layer: more than half of the time of a small network on two cores.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)  # what loading the weights needed goes back first
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 32 << 20)  # the largest that glibc takes
    mallopt(trim_threshold, 1 << 30)
    mallopt(top_pad, 64 << 20)


def device_of(asked: str) -> str:
    """Returns ``cpu`` or ``cuda``: the device that was asked for, or with ``auto`` the GPU if there is one.

    Raises:
      InputError: a GPU was asked for by name and is not there; a paid worker must not fall back to its CPU in silence.
    """
    if asked == "cpu" or (asked == "auto" and not os.path.exists(DRIVER)):  # torch takes seconds to import
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "auto":
        return "cpu"
    raise InputError("--device cuda: no GPU is visible to torch; install the driver, or use --device cpu")


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

    def start_images(self, pixels: NDArray[np.uint8]) -> Callable[[], tuple[NDArray[np.float32], float]]:
        """Starts embedding at most ``batch_size`` images; what it returns waits for the embeddings and GPU seconds.

        On a CPU the work is done before it returns.
        """
        if self._device == "cuda":
            return self._staged(pixels)
        found = self._images(pixels, True)
        return lambda: (found, 0.0)

    def _staged(self, pixels: NDArray[np.uint8]) -> Callable[[], tuple[NDArray[np.float32], float]]:
        import torch

        if not hasattr(self._here, "ring"):  # of its own for every thread, so that none waits for another's
            self._here.ring = Ring((self._batch_size, *pixels.shape[1:]))

        def forward(batch: torch.Tensor) -> torch.Tensor:
            return self._image_room.run(lambda part: self._embedded(part, True), batch)

        with torch.inference_mode():
            return cast(Ring, self._here.ring).start(pixels, forward)

    def _images(self, pixels: NDArray[np.uint8], unit: bool) -> NDArray[np.float32]:
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(pixels), self._batch_size):
                part = pixels[start : start + self._batch_size]
                batch = torch.zeros((self._batch_size, *part.shape[1:]), dtype=torch.uint8)
                batch[: len(part)] = torch.from_numpy(part)
                embedded = self._image_room.run(lambda rows: self._embedded(rows.to(self._device), unit), batch)
                found.append(embedded.cpu().numpy()[: len(part)])
        return np.concatenate(found) if found else np.zeros((0, self.dim), np.float32)

    def _embedded(self, batch: torch.Tensor, unit: bool) -> torch.Tensor:
        embedded: torch.Tensor = self.network.encode_image(self.normalise(batch), normalize=unit).float()
        return embedded

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

    def _texts(self, tokens: torch.Tensor, unit: bool) -> NDArray[np.float32]:
        import torch

        order = torch.arange(len(tokens))
        lengths = torch.full((len(tokens),), tokens.shape[1])
        if self._cut is not None:
            lengths = self._cut.lengths(tokens)
            order = torch.argsort(lengths, stable=True)
        found: list[NDArray[np.float32]] = []
        with torch.inference_mode():
            for rows in order.split(TEXT_BATCH[self._device]):
                batch = tokens[rows, : texttower.rounded(int(lengths[rows].max()), tokens.shape[1])]
                rows_of = self._text_room.run(lambda part: self._text_batch(part, unit), batch)
                found.append(rows_of.cpu().numpy())
        inverse = torch.argsort(order).numpy()
        embedded: NDArray[np.float32] = np.concatenate(found)[inverse]
        return embedded

    def _text_batch(self, tokens: torch.Tensor, unit: bool) -> torch.Tensor:
        import torch

        if self._cut is None:
            whole: torch.Tensor = self.network.encode_text(tokens.to(self._device), normalize=unit).float()
            return whole
        embedded = self._cut.encode(texttower.filled(tokens).to(self._device))[: len(tokens)]
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
) -> ClipModel:
    """Loads a model on a worker.

    Args:
      spec: from ``modelspec.resolve``.
      device: ``cpu`` or ``cuda``.
      precision: ``fp32``, ``bf16`` or ``fp16``, of weights and activations; embeddings come out as float32.
      threads: of torch on the CPU; all cores when None.
      batch_size: images a forward pass takes.
      fetch: address of a file or folder -> local path.

    Raises:
      InputError: the weights are not those of the spec, or the GPU is not there.
    """
    import torch

    device = device_of(device)
    if device == "cpu":
        torch.set_num_threads(threads or cpu_count())
    config, weights = locate(spec, fetch)
    digest = tinyclip.weights_sha256() if spec.kind == "tinyclip" else sha256_of(weights)
    if digest != spec.weights_sha256:
        raise InputError(
            f"--model {spec.name}: the weights have sha256 {digest} here, {spec.weights_sha256} at the start"
        )
    network, tokenize = _network(spec, weights, precision)
    network = network.to(device)
    if device == "cpu":
        keep_freed_memory()
    more = {"device": device, "precision": precision, "variant": spec.variant, "part": spec.part}
    return wrap(network, tokenize, config, batch_size=batch_size, **more)


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
        view=view({name: preprocess[name] for name in PREPROCESS}, size, variant),
        tokenize=tokenize,
        _mean=torch.tensor(preprocess["mean"], device=device).view(shape),
        _std=torch.tensor(preprocess["std"], device=device).view(shape),
        _device=device,
        _dtype={"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision],
        _batch_size=batch_size,
        part=part,
        _cut=texttower.cuttable(network),
    )


def _network(spec: ModelSpec, weights: str, precision: str) -> tuple[Any, Callable[[list[str]], torch.Tensor]]:
    import open_clip

    if spec.kind == "tinyclip":
        network = tinyclip.build().to(dtype=open_clip.get_input_dtype(PRECISIONS[precision]))
        return network, tinyclip.tokenizer()
    if spec.kind in ("tag", "file"):
        name, pretrained = spec.source, weights if spec.kind == "file" else spec.weights
    elif spec.kind == "hub":
        name, pretrained = f"hf-hub:{spec.source}", None
    else:
        name, pretrained = f"local-dir:{os.path.dirname(weights)}", None
    changes = _moved_text_tower(os.path.dirname(weights)) if spec.kind == "folder" else {}
    network = open_clip.create_model(
        name, pretrained, precision=PRECISIONS[precision], require_pretrained=True, **changes
    )
    return network.eval(), open_clip.get_tokenizer(name)


def _moved_text_tower(folder: str) -> dict[str, Any]:
    """Returns what to change of a folder's configuration when it carries its own text tower's: its present place.

    ``winnow train-filter`` writes such folders; open_clip itself looks only where the configuration points.
    """
    text_cfg = json.loads(Path(folder, "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if "hf_model_name" in text_cfg and Path(folder, "config.json").is_file():
        return {"text_cfg": {**text_cfg, "hf_model_name": folder, "hf_model_pretrained": False}}
    return {}
