"""AdamW as a function of parameters, gradients and moments, which can be differentiated by the gradients."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    Params = dict[str, torch.Tensor]


class AdamW(NamedTuple):
    """Constants of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101); the defaults are FLYT's.

    It is ours because FLYT differentiates a step by the gradients, and torch.optim changes parameters in place.

    Attributes:
      betas: decay of the first and second moment, in [0, 1).
      eps: added to the root of the second moment.
      weight_decay: of matrices; biases, gains and temperatures (fewer than two axes) do not decay.
    """

    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.2


class AdamWState(NamedTuple):
    """The memory of AdamW.

    Attributes:
      steps: that were taken.
      first: name -> running mean of the gradient.
      second: name -> running mean of its square.
    """

    steps: int
    first: Params
    second: Params


def fresh(params: Params) -> AdamWState:
    """Returns the moments before the first step: zero, shaped like the parameters."""
    import torch

    zeros = [{name: torch.zeros_like(value) for name, value in params.items()} for _ in range(2)]
    return AdamWState(0, zeros[0], zeros[1])


def step(
    params: Params, grads: Params, moments: AdamWState, learning_rate: float, settings: AdamW
) -> tuple[Params, AdamWState]:
    """Takes one step; nothing is changed in place, so the result can be differentiated by the gradients.

    Past moments are constants. An entry whose second moment is exactly 0 decays and does not move: the root has no
    derivative there. The published code does the same (formll/FLYT, flyt/optimizer.py, ``DifferentiableAdamW``).

    Args:
      params: name -> tensor.
      grads: name -> tensor of the same shape.
      moments: of the steps before; not differentiated.
      learning_rate: of this step.
      settings: the constants.

    Returns:
      the parameters and moments after the step.
    """
    import torch

    count = moments.steps + 1
    beta1, beta2 = settings.betas
    after, first, second = {}, {}, {}
    for name, value in params.items():
        first[name] = beta1 * moments.first[name].detach() + (1 - beta1) * grads[name]
        second[name] = beta2 * moments.second[name].detach() + (1 - beta2) * grads[name] ** 2
        seen = second[name] > 0
        root = torch.where(seen, second[name], torch.ones_like(value)).sqrt() / (1 - beta2**count) ** 0.5
        decayed = value * (1 - learning_rate * settings.weight_decay) if value.ndim >= 2 else value
        moved = decayed - learning_rate / (1 - beta1**count) * first[name] / (root + settings.eps)
        after[name] = torch.where(seen, moved, decayed)
    return after, AdamWState(count, first, second)


def parted(moments: AdamWState, name: str) -> tuple[AdamWState, AdamWState]:
    """Returns the moments of all other parameters, and those of one; both have the same number of steps."""
    others, own = (
        [{key: value for key, value in group.items() if (key == name) is alone} for group in moments[1:]]
        for alone in (False, True)
    )
    return AdamWState(moments.steps, *others), AdamWState(moments.steps, *own)


def joined(moments: AdamWState, others: AdamWState) -> AdamWState:
    """Returns the moments of two groups of parameters that took the same steps."""
    return AdamWState(moments.steps, moments.first | others.first, moments.second | others.second)


def learning_rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    """Returns the learning rate of a step: up a straight line, then down along half a cosine, never 0.

    Args:
      step: 0 .. steps - 1.
      steps: of the whole run.
      warmup: steps that lead up to the peak.
      peak: the largest learning rate.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
