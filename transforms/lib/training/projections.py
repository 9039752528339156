"""The two linear maps that join the towers of a CLIP model: find them, look behind them, train them.

Training only these is locked-image text tuning with both towers locked (Zhai et al. 2021, LiT, arXiv:2111.07991):
minutes on a CPU, since the towers run once. The loss is CLIP's (Radford et al. 2021), with captions that are equal
as positives of one another.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from transforms.lib.arrays import Bool, Float32, Int64
from transforms.lib.errors import ConfigError
from transforms.lib.training import early_stopping as epochs
from transforms.lib.training import retrieval

# where open_clip's model classes keep them
IMAGE_PATHS = ("visual.head.proj", "visual.proj")
TEXT_PATHS = ("text.proj", "text.text_projection", "text_projection")


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """How projections are trained.

    Attributes:
      seed: of the start, the order of pairs and the noise.
      epochs: at most.
      patience: epochs without a better held-out loss before stopping; the best epoch is kept.
      batch_size: pairs per step; every other caption of the batch is a negative.
      learning_rate: of AdamW, decayed to 0 along a cosine.
      weight_decay: of AdamW.
      noise: standard deviation added to image and text features, in units of their own.
    """

    seed: int = 0
    epochs: int = 60
    patience: int = 10
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    noise: float = 0.6


class Fitted(NamedTuple):
    """Trained projections.

    Attributes:
      image: float32 ``[dim, image width]``.
      text: float32 ``[dim, text width]``.
      logit_scale: natural logarithm of the inverse temperature.
      history: one mapping per epoch: ``epoch``, ``train_loss``, ``held_loss`` and the figures of ``retrieval``.
      best: position in ``history`` of the epoch that was kept.
    """

    image: Float32
    text: Float32
    logit_scale: float
    history: list[dict[str, float]]
    best: int


def _walk(network: Any, path: str) -> tuple[Any, str] | None:
    """Returns the owner of the last part of a dotted path, or None where the network has no such thing."""
    *owners, last = path.split(".")
    for name in owners:
        network = getattr(network, name, None)
    return (network, last) if getattr(network, last, None) is not None else None


def find(network: Any) -> tuple[str, str]:
    """Returns the paths of the image and the text projection of an open_clip model.

    Raises:
      ConfigError: one of them is missing or not linear.
    """
    import torch

    found = []
    for what, paths in (("image", IMAGE_PATHS), ("text", TEXT_PATHS)):
        held = [path for path in paths if (place := _walk(network, path)) and _is_linear(getattr(*place), torch)]
        if not held:
            raise ConfigError(f"--train projections: this model has no linear {what} projection; use --train towers")
        found.append(held[0])
    return found[0], found[1]


def _is_linear(part: Any, torch: Any) -> bool:
    return isinstance(part, torch.nn.Parameter) or (isinstance(part, torch.nn.Linear) and part.bias is None)


def take_out(network: Any, path: str) -> Float32:
    """Removes a projection, so that the tower gives the features before it; returns it, float32 ``[dim, width]``."""
    import torch

    owner, name = _walk(network, path) or (network, path)
    part = getattr(owner, name)
    if isinstance(part, torch.nn.Linear):
        setattr(owner, name, torch.nn.Identity())
        weight: Float32 = part.weight.detach().float().numpy()
        return weight
    setattr(owner, name, None)
    transposed: Float32 = part.detach().float().numpy().T
    return transposed


def put_back(network: Any, path: str, weight: Float32) -> None:
    """Puts a projection ``[dim, width]`` where ``take_out`` took one out."""
    import torch

    *owners, name = path.split(".")
    owner = network
    for part in owners:
        owner = getattr(owner, part)
    tensor = torch.from_numpy(np.ascontiguousarray(weight))
    if getattr(owner, name) is None:
        setattr(owner, name, torch.nn.Parameter(tensor.T.contiguous()))
        return
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data.copy_(tensor)
    setattr(owner, name, linear)


def fit(
    image: Float32,
    text: Float32,
    groups: Int64,
    held: Bool,
    start: tuple[Float32, Float32],
    settings: FitSettings,
) -> Fitted:
    """Trains both projections contrastively on features of locked towers.

    Args:
      image: float32 ``[n, views, image width]``; an epoch draws one view of each image.
      text: float32 ``[n, views, text width]``; likewise.
      groups: int64 ``[n]`` of ``retrieval.caption_groups``.
      held: bool ``[n]``; these pairs are never trained on.
      start: the projections to start from, ``[dim, image width]`` and ``[dim, text width]``.
      settings: how.

    Returns:
      the projections of the epoch with the lowest held-out loss.
    """
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(settings.seed)
    features = [torch.from_numpy(values) for values in (image, text)]
    scales = [values[torch.from_numpy(~held)].std() * settings.noise for values in features]
    weights = [torch.nn.Parameter(torch.from_numpy(np.array(values, np.float32))) for values in start]
    logit_scale = torch.nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))  # CLIP's start
    decayed = {"params": weights, "weight_decay": settings.weight_decay}
    optimizer = torch.optim.AdamW([decayed, {"params": [logit_scale], "weight_decay": 0.0}], settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs)
    group = torch.from_numpy(groups)
    train_rows, held_rows = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~held, held))

    def noisy(rows: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for values, weight, scale in zip(features, weights, scales, strict=True):
            part = values[rows, torch.randint(values.shape[1], (len(rows),), generator=generator)]
            part = part + scale * torch.randn(part.shape, generator=generator)
            found.append(functional.normalize(part @ weight.T, dim=-1))
        return found

    def train() -> float:
        losses = []
        for rows in train_rows[torch.randperm(len(train_rows), generator=generator)].split(settings.batch_size):
            seen = noisy(rows)
            loss = contrastive_loss(seen[0], seen[1], group[rows], logit_scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        return float(np.mean(losses))

    @torch.no_grad()
    def measure() -> dict[str, float]:
        unseen = [
            functional.normalize(values[held_rows, 0] @ weight.T, dim=-1)
            for values, weight in zip(features, weights, strict=True)
        ]
        return held_out_figures(unseen[0], unseen[1], group[held_rows], logit_scale, settings.seed)

    def snapshot() -> list[Any]:
        return [weight.detach().numpy().copy() for weight in weights] + [logit_scale.item()]

    history, best, state = epochs.run(settings.epochs, settings.patience, train, measure, snapshot)
    return Fitted(state[0], state[1], state[2], history, best)


def held_out_figures(image: Any, text: Any, group: Any, logit_scale: Any, seed: int) -> dict[str, float]:
    """Returns ``held_loss`` and the figures of ``retrieval.evaluate`` of embedded held-out pairs (tensors)."""
    loss = float(contrastive_loss(image, text, group, logit_scale))
    return {"held_loss": loss, **retrieval.evaluate(image.numpy(), text.numpy(), group.numpy(), seed)}


def contrastive_loss(image: Any, text: Any, group: Any, logit_scale: Any) -> Any:
    """Returns CLIP's symmetric loss with every pair of one group a positive.

    Args:
      image: float tensor ``[batch, dim]``, unit norm.
      text: float tensor ``[batch, dim]``, unit norm.
      group: int64 tensor ``[batch]``.
      logit_scale: scalar tensor; its exponential, at most 100 as in CLIP, multiplies the cosines.
    """
    logits = logit_scale.exp().clamp(max=100) * image @ text.T
    positive = (group[:, None] == group[None]).to(logits.dtype)
    target = positive / positive.sum(1, keepdim=True)
    return -((target * logits.log_softmax(1)).sum(1).mean() + (target * logits.T.log_softmax(1)).sum(1).mean()) / 2
