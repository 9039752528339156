"""Train the towers of a network whole, on pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Int64
from transforms.lib.training import early_stopping as epochs
from transforms.lib.training import projections


@dataclasses.dataclass(frozen=True)
class TowerSettings:
    """How whole towers are trained; smaller steps than projections, since the towers know something already.

    Attributes:
      seed: of order and mirroring.
      epochs: at most.
      patience: epochs without a better held-out loss before stopping.
      batch_size: pairs per step.
      learning_rate: of AdamW.
      weight_decay: of AdamW.
    """

    seed: int = 0
    epochs: int = 5
    patience: int = 2
    batch_size: int = 64
    learning_rate: float = 1e-5
    weight_decay: float = 0.1


def fit_towers(
    network: Any,
    pixels: NDArray[np.uint8],
    tokens: Any,
    groups: Int64,
    held: Bool,
    normalise: Callable[[Any], Any],
    settings: TowerSettings,
) -> tuple[list[dict[str, float]], int]:
    """Trains every parameter of an open_clip model contrastively, in place; it ends with the best epoch's weights.

    Args:
      network: the model.
      pixels: uint8 ``[n, size, size, 3]``.
      tokens: int64 tensor ``[n, context]``.
      groups: int64 ``[n]`` of ``retrieval.caption_groups``.
      held: bool ``[n]``; never trained on.
      normalise: uint8 tensor ``[batch, size, size, 3]`` -> the model's input.
      settings: how.

    Returns:
      (history, position of the best epoch), as in ``projections.Fitted``.
    """
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)  # dropout inside the towers
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    group = torch.from_numpy(groups)
    train_rows, held_rows = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~held, held))

    def embed(rows: torch.Tensor, mirror: bool) -> tuple[torch.Tensor, torch.Tensor]:
        batch = torch.from_numpy(pixels[rows.numpy()])
        image = normalise(batch.flip(2) if mirror else batch)
        return network.encode_image(image, normalize=True), network.encode_text(tokens[rows], normalize=True)

    def train() -> float:
        network.train()
        losses = []
        for rows in train_rows[torch.randperm(len(train_rows), generator=generator)].split(settings.batch_size):
            seen = embed(rows, bool(torch.randint(2, (1,), generator=generator)))
            loss = projections.contrastive_loss(seen[0], seen[1], group[rows], network.logit_scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        return float(np.mean(losses))

    @torch.no_grad()
    def measure() -> dict[str, float]:
        parts = [embed(rows, False) for rows in held_rows.split(settings.batch_size)]
        image, text = (torch.cat(column) for column in zip(*parts, strict=True))
        return projections.held_out_figures(image, text, group[held_rows], network.logit_scale, settings.seed)

    def snapshot() -> dict[str, Any]:
        return {name: value.clone() for name, value in network.state_dict().items()}

    history, best, state = epochs.run(settings.epochs, settings.patience, train, measure, snapshot)
    network.load_state_dict(state)
    return history, best
