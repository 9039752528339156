"""Train a CLIP model from random weights on weighted pairs, for a fixed number of samples seen, as open_clip does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.errors import InputError
from transforms.lib.training import open_clip_recipe

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint.pt"
MAX_LOG_SCALE = math.log(100)  # as in CLIP


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained; defaults of optimiser and crop are those of open_clip's ``training.main``.

    Attributes:
      seed: of weights, order and crops.
      samples_seen: pairs that the model sees, each time that it sees one.
      batch_size: pairs per step.
      learning_rate: at the end of the warm-up; it then falls to 0 along half a cosine.
      warmup: steps in which the learning rate rises linearly.
      weight_decay: of matrices; gains, biases and the scale have none.
      beta2: of AdamW.
      crop: least share of a picture that a random crop keeps; 1 crops nothing.
      checkpoint_every: steps between checkpoints.
    """

    seed: int = 0
    samples_seen: int = 100_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.2
    beta2: float = 0.98
    crop: float = 0.9
    checkpoint_every: int = 100

    @property
    def steps(self) -> int:
        """Steps of the training: whole batches of the samples seen, at least one."""
        return max(1, round(self.samples_seen / self.batch_size))

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, from 0."""
        return open_clip_recipe.cosine_rate(step, steps=self.steps, warmup=self.warmup, peak=self.learning_rate)


class BatchOrder:
    """The rows of every batch: each epoch is a new permutation of all copies, and batches run across its end."""

    def __init__(self, copies: Int64, batch_size: int, seed: int) -> None:
        """Args: copies: int64 ``[n]`` of each row; batch_size: of a batch; seed: of the permutations."""
        self._rows = np.repeat(np.arange(len(copies)), copies)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = (-1, self._rows)

    def batch(self, step: int) -> Int64:
        """Returns int64 ``[batch_size]``, the rows of a step; any step can be asked for."""
        parts: list[Int64] = []
        at, left = step * self._batch_size, self._batch_size
        while left:
            epoch, start = divmod(at, len(self._rows))
            part = self._permuted(epoch)[start : start + left]
            parts.append(part)
            at, left = at + len(part), left - len(part)
        return np.concatenate(parts)

    def _permuted(self, epoch: int) -> Int64:
        if self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng([self._seed, epoch]).permutation(self._rows))
        return self._epoch[1]


def cropped(images: torch.Tensor, least: float, generator: torch.Generator) -> torch.Tensor:
    """Returns random crops of float ``[batch, 3, size, size]``, resized: torchvision's RandomResizedCrop in one pass.

    The area is ``least`` to 1 of the picture, the ratio of the sides 3/4 to 4/3 where that fits, bilinear.
    """
    import torch

    if least >= 1:
        return images
    count = len(images)
    area, ratio, across, down = torch.rand(4, count, generator=generator).to(images.device)
    area = least + (1 - least) * area
    ratio = torch.exp((2 * ratio - 1) * math.log(4 / 3))
    width, height = ((area * ratio) ** 0.5).clamp(max=1), ((area / ratio) ** 0.5).clamp(max=1)
    theta = torch.zeros(count, 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = (2 * across - 1) * (1 - width), (2 * down - 1) * (1 - height)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def loss_of(network: Any, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Returns CLIP's symmetric loss over a batch; only row i is right for row i."""
    import torch

    image = network.encode_image(images, normalize=True)
    text = network.encode_text(tokens, normalize=True)
    logits = network.logit_scale.exp() * image @ text.T
    target = torch.arange(len(logits), device=logits.device)
    cross_entropy = torch.nn.functional.cross_entropy
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


@dataclasses.dataclass
class Training:
    """A training under way.

    Attributes:
      network: with weights after ``step`` steps.
      settings: how.
      folder: where checkpoints are; None keeps none.
      step: steps done.
      losses: mean loss of every ``LOG_EVERY`` steps: (step, loss).
    """

    network: Any
    settings: TrainingSettings
    folder: Path | None = None
    step: int = 0
    losses: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.settings
        self.optimizer = open_clip_recipe.adamw(
            self.network,
            weight_decay=settings.weight_decay,
            learning_rate=settings.learning_rate,
            beta2=settings.beta2,
            fused=True,
        )

    def resume(self, stamp: str) -> bool:
        """Goes on from the checkpoint of the folder, where there is one of the same stamp.

        Raises:
          InputError: it is damaged.
        """
        import torch

        path = self.folder / CHECKPOINT if self.folder else None
        if path is None or not path.is_file():
            return False
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state["stamp"] != stamp:
                return False
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.losses = int(state["step"]), [(int(n), float(v)) for n, v in state["losses"]]
        except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, UnpicklingError) as error:
            raise InputError(f"{path} cannot be read ({type(error).__name__}); delete it to train anew") from None
        return True

    def save(self, stamp: str) -> None:
        """Writes a checkpoint, whole or not at all."""
        import torch

        if self.folder is None:
            return
        partial = self.folder / f"{CHECKPOINT}.partial"
        state = {
            "stamp": stamp,
            "step": self.step,
            "losses": [list(pair) for pair in self.losses],
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)

    def run(
        self,
        pixels: NDArray[np.uint8],
        tokens: NDArray[Any],
        copies: Int64,
        normalise: Callable[[Any], Any],
        stamp: str = "",
        until: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Trains from ``step`` to ``until``; equal arguments give equal bytes on one machine, stopped or not.

        Args:
          pixels: uint8 ``[n, size, size, 3]``.
          tokens: int ``[n, context]``.
          copies: int64 ``[n]``: how often each pair is in the selection; 0 is not in it.
          normalise: uint8 tensor ``[batch, size, size, 3]`` -> the network's input.
          stamp: of settings and data; a checkpoint of another is not continued.
          until: step to stop at; None trains to the end.
          device: where the network is.
        """
        import torch

        settings = self.settings
        order = BatchOrder(copies, settings.batch_size, settings.seed)
        self.network.train()
        until = settings.steps if until is None else until
        while self.step < until:
            rows = np.sort(order.batch(self.step))  # the loss knows no order, and a file is read forwards
            generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + self.step)
            images = cropped(normalise(torch.from_numpy(pixels[rows])), settings.crop, generator)
            loss = loss_of(self.network, images, torch.from_numpy(tokens[rows].astype(np.int64)).to(device))
            for group in self.optimizer.param_groups:
                group["lr"] = settings.rate(self.step)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                self.network.logit_scale.clamp_(0, MAX_LOG_SCALE)
            self._log(loss)
            self.step += 1
            if self.step % settings.checkpoint_every == 0 and self.step < settings.steps:
                self.save(stamp)
        self.network.eval()

    def _log(self, loss: torch.Tensor) -> None:
        if self.step % max(1, self.settings.steps // 50) == 0 or self.step == self.settings.steps - 1:
            value = loss.item()
            if not math.isfinite(value):
                raise InputError(f"the loss is {value} at step {self.step}; try a smaller --learning_rate")
            self.losses.append((self.step, round(value, 6)))
