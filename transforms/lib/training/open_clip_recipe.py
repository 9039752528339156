"""How open_clip trains CLIP: the learning rate of each step, and AdamW over two groups of parameters."""

from __future__ import annotations

import math
from typing import Any

BETAS = (0.9, 0.98)
"""Of AdamW; open_clip's defaults for vision transformers."""


def cosine_rate(step: int, *, steps: int, warmup: int, peak: float) -> float:
    """Returns the learning rate of a step, as open_clip's ``cosine_lr`` has it.

    Args:
      step: from 0.
      steps: of the whole training.
      warmup: steps in which the rate rises linearly to ``peak``; it then falls to 0 along half a cosine.
      peak: the highest rate.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    along = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * along)) * peak


def adamw(
    network: Any, *, weight_decay: float, learning_rate: float = 0.0, beta2: float = BETAS[1], fused: bool = False
) -> Any:
    """Returns AdamW with epsilon 1e-6 and no decay of gains, biases and the scale, as open_clip's ``main`` groups them.

    Args:
      network: whose parameters it trains, those that want gradients.
      weight_decay: of all others.
      learning_rate: at the start.
      beta2: of AdamW.
      fused: one kernel per step.
    """
    import torch

    named = [(name, value) for name, value in network.named_parameters() if value.requires_grad]
    words = ("bn", "ln", "bias", "logit_scale")
    bare = [value for name, value in named if value.ndim < 2 or any(word in name for word in words)]
    chosen = {id(value) for value in bare}
    groups = [
        {"params": bare, "weight_decay": 0.0},
        {"params": [value for _, value in named if id(value) not in chosen], "weight_decay": weight_decay},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(BETAS[0], beta2), eps=1e-6, fused=fused)
