"""One step of a network's towers on a batch that may be larger than memory, in one process or in several.

The loss of CLIP needs the embeddings of the whole batch, but only the activations of a part at a time: the embeddings
come first, without activations; the loss is differentiated by them; then each part is embedded again, and its share of
the derivative goes through its towers (GradCache: Gao et al. 2021, arXiv:2101.06983). The gradient is that of the whole
batch at once. Several processes each embed their own rows and see the embeddings of all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transforms.lib.training.projections import contrastive_loss
from transforms.lib.training.world import World

MAX_SCALE = 4.605170185988092
"""ln(100): the logit scale is held below it, as in CLIP (Radford et al. 2021, section 2.5)."""


class Batch(NamedTuple):
    """The rows of a batch that this process has.

    Attributes:
      pixels: uint8 tensor ``[n, size, size, 3]``.
      tokens: int64 tensor ``[n, context]``.
      group: int64 tensor ``[n]``; rows with equal numbers, here and elsewhere, are positives of one another.
    """

    pixels: Any
    tokens: Any
    group: Any


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """How a step is computed.

    Attributes:
      part_size: rows per forward pass; 0 for the whole batch, whose activations are then kept.
      precision: ``fp32``, or ``bf16`` for products in bfloat16 (weights and loss stay in float32).
      clip_norm: longest gradient; a longer one is shortened to it. 0 for any.
    """

    part_size: int = 0
    precision: str = "fp32"
    clip_norm: float = 0.0


@dataclasses.dataclass(frozen=True)
class Towers:
    """A network whose towers are trained.

    Attributes:
      network: of open_clip.
      normalise: uint8 ``[n, size, size, 3]`` -> its input, on its device.
      device: ``cpu`` or ``cuda``.
      settings: of a step.
      world: the processes that share the batch.
    """

    network: Any
    normalise: Callable[[Any], Any]
    device: str
    settings: StepSettings
    world: World

    def embed(self, batch: Batch) -> tuple[Any, Any]:
        """Returns unit embeddings of images and captions, float32 ``[n, dim]``."""
        import torch

        with torch.autocast(self.device, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            image = self.network.encode_image(self.normalise(batch.pixels), normalize=True)
            text = self.network.encode_text(batch.tokens.to(self.device), normalize=True)
        return image.float(), text.float()

    def accumulate(self, batch: Batch, share: float) -> float:
        """Adds ``share`` of a batch's gradient to the network's; returns the loss of the whole batch."""
        import torch

        rows = len(batch.group)
        size = self.settings.part_size or rows
        parts = [Batch(*(each[at : at + size] for each in batch)) for at in range(0, rows, size)]
        kept: list[tuple[Any, Any]] | None = [self.embed(parts[0])] if len(parts) == 1 else None
        states = []
        if kept is None:
            with torch.no_grad():
                found = []
                for part in parts:
                    states.append(_random_state(self.device))
                    found.append(self.embed(part))
        else:
            found = [(image.detach(), text.detach()) for image, text in kept]
        loss, by_image, by_text = self._derivative(found, batch.group, share)
        for number, part in enumerate(parts):
            if kept is None:
                with _random(states[number], self.device):
                    embedded = self.embed(part)
            else:
                embedded = kept[number]
            cut = slice(number * size, number * size + len(part.group))
            torch.autograd.backward(embedded, (by_image[cut], by_text[cut]))
        return loss

    def _derivative(self, found: Sequence[tuple[Any, Any]], group: Any, share: float) -> tuple[float, Any, Any]:
        """Returns the loss of the whole batch, and its derivative by the embeddings of this process's rows."""
        import torch

        own = [torch.cat(each) for each in zip(*found, strict=True)]
        image, text = (self.world.gathered(each).requires_grad_() for each in own)
        groups = self.world.gathered(group.to(self.device))
        loss = contrastive_loss(image, text, groups, self.network.logit_scale)
        (share * loss).backward()
        first = self.world.rank * len(own[0])
        here = slice(first, first + len(own[0]))
        return loss.item(), image.grad[here], text.grad[here]

    def finish(self, optimizer: Any) -> None:
        """Takes the optimiser's step with the gradients of all processes, and forgets them."""
        import torch

        scale = self.network.logit_scale
        self.world.add([p.grad for p in self.network.parameters() if p.grad is not None and p is not scale])
        if self.settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            scale.clamp_(max=MAX_SCALE)


def _random_state(device: str) -> Any:
    import torch

    return torch.get_rng_state(), torch.cuda.get_rng_state() if device == "cuda" else None


class _random:
    """Draws of torch, such as dropout, come out inside as they did when the state was taken."""

    def __init__(self, state: Any, device: str) -> None:
        self._state, self._device = state, device

    def _set(self, state: Any) -> None:
        import torch

        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1])

    def __enter__(self) -> None:
        self._before = _random_state(self._device)
        self._set(self._state)

    def __exit__(self, *_: object) -> None:
        self._set(self._before)
