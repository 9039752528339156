"""FLYT's meta-gradient: how the weight of each sample of a batch changes what the batch teaches.

A reference model takes one AdamW step on a batch of the pool whose samples carry weights; the loss of the model after
that step, on a labelled downstream batch, is differentiated by the weights (Shechter and Carmon 2025, Filter Like You
Test, arXiv:2503.08805). With L_up the weighted loss, theta the parameters and v = dL_down/d(grad L_up), the gradient is
that of <grad L_up, v> by the weights. Since grad L_up = sum_i J_i^T dL_up/df_i, with f_i the features, that product is
sum_i <dL_up/df_i, J_i v>, so it takes one directional derivative J v of the features, for which nothing is kept, and a
second derivative of the loss by features and weights alone. The towers' graph is never differentiated twice, and they
may be run over a batch in parts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from transforms.lib.flyt import adamw

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params

    Encode = Callable[[Params], torch.Tensor]

LOGIT_SCALE = "logit_scale"
LOGIT_SCALE_RANGE = (2.0, 4.605170185988092)  # the second is ln 100, CLIP's own bound
DOWNSTREAM_SCALE = 2.65926  # ln(1 / 0.07), where the downstream scale starts


class Sides(NamedTuple):
    """A batch as functions of the reference's parameters, each of a part of it.

    Attributes:
      image: each gives unit rows ``[part, dim]`` of images; together the batch, in order.
      text: likewise, of texts.
    """

    image: Sequence[Encode]
    text: Sequence[Encode]


class Downstream(NamedTuple):
    """A labelled batch.

    Attributes:
      sides: ``n`` images; one prompt for each of the ``c`` classes.
      labels: int64 ``[n]`` in 0 .. c - 1.
    """

    sides: Sides
    labels: torch.Tensor


class MetaStep(NamedTuple):
    """What one batch of the pool would teach, and what its weights have to do with it.

    Attributes:
      by_log_weight: ``[batch]``, derivative of the downstream loss by the logarithm of each weight.
      by_scale: scalar, derivative of the downstream loss by the logarithm of the downstream scale.
      params: of the reference after the step.
      moments: of the reference after the step.
      figures: ``up_loss``, ``down_loss`` and ``down_accuracy``, the last two after the step and of all tasks.
    """

    by_log_weight: torch.Tensor
    by_scale: torch.Tensor
    params: Params
    moments: adamw.AdamWState
    figures: dict[str, float]


def weighted_loss(
    image: torch.Tensor, text: torch.Tensor, log_weights: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """Returns the doubly weighted contrastive loss: weights stand at own terms and at negatives.

    ``1/2 sum_i w_i (-log(w_i e^a_ii / sum_j w_j e^a_ij))`` plus the same of the transposed logits, with
    ``a_ij = e^logit_scale <image_i, text_j>``.

    Args:
      image: ``[batch, dim]``, unit norm.
      text: ``[batch, dim]``, unit norm.
      log_weights: ``[batch]``; the weights sum to 1.
      logit_scale: scalar, natural logarithm.
    """
    logits = logit_scale.exp() * image @ text.T
    own = log_weights + logits.diagonal()
    terms = [(log_weights + side).logsumexp(1) - own for side in (logits, logits.T)]
    return (log_weights.exp() * (terms[0] + terms[1])).sum() / 2


def features(parts: Sequence[Encode], params: Params) -> torch.Tensor:
    """Returns the features of all parts, ``[batch, dim]``, without a graph."""
    import torch

    with torch.no_grad():
        return torch.cat([part(params) for part in parts])


def pull_back(parts: Sequence[Encode], params: Params, cotangent: torch.Tensor) -> Params:
    """Returns name -> gradient of ``<cotangent, features>`` by each parameter, one part's graph at a time."""
    import torch

    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    total = {name: torch.zeros_like(value) for name, value in params.items()}
    start = 0
    for part in parts:
        found = part(leaves)
        rows = cotangent[start : start + len(found)]
        start += len(found)
        grads = torch.autograd.grad((found * rows).sum(), list(leaves.values()), allow_unused=True)
        for name, grad in zip(leaves, grads, strict=True):
            if grad is not None:
                total[name] += grad
    return total


def push_forward(parts: Sequence[Encode], params: Params, direction: Params) -> torch.Tensor:
    """Returns the derivative of the features along a direction of the parameters; no graph is kept."""
    import torch

    found = []
    with torch.no_grad():
        for part in parts:
            found.append(torch.func.jvp(part, (params,), (direction,))[1])
    return torch.cat(found)


def meta_step(
    params: Params,
    moments: adamw.AdamWState,
    log_weights: torch.Tensor,
    upstream: Sides,
    downstream: Sequence[Downstream],
    scale: torch.Tensor,
    learning_rate: float,
    settings: adamw.AdamW,
) -> MetaStep | None:
    """Takes a virtual step on a weighted batch and differentiates what it does downstream by the weights.

    The derivative is taken by the logarithms of the weights, which is w times that by the weights: the same for
    whatever the weights are a softmax of, and no underflow.

    Args:
      params: of the reference, with ``logit_scale``; none requires a gradient.
      moments: of the reference's AdamW, constants.
      log_weights: ``[batch]``, from ``log_softmax``; their graph is not followed.
      upstream: a batch of the pool.
      downstream: a labelled batch of each task; their losses are averaged, and there is one virtual step for all.
      scale: scalar, natural logarithm of what multiplies downstream cosines.
      learning_rate: of the virtual step.
      settings: constants of AdamW.

    Returns:
      None when a batch has no sample, there is no task, or something is not finite: the step is to be skipped.
    """
    import torch

    if not len(log_weights) or not downstream or not all(len(task.labels) for task in downstream):
        return None
    weights = log_weights.detach().requires_grad_()
    up_loss, slopes, grads = upstream_gradient(params, weights, upstream)
    leaves = {name: grad.requires_grad_() for name, grad in grads.items()}
    after, memory = adamw.step(params, leaves, moments, learning_rate, settings)
    end = {name: value.detach() for name, value in after.items()}
    down_loss, accuracy, by_params, by_scale = mean_gradient(end, downstream, scale)
    moved = torch.autograd.grad(list(after.values()), list(leaves.values()), list(by_params.values()))
    direction = dict(zip(leaves, moved, strict=True))

    product = slopes[2] * direction[LOGIT_SCALE]
    for slope, side in zip(slopes, upstream, strict=False):
        product = product + (slope * push_forward(side, params, direction)).sum()
    by_log_weight = torch.autograd.grad(product, weights)[0]
    end[LOGIT_SCALE] = end[LOGIT_SCALE].clamp(*LOGIT_SCALE_RANGE)
    kept = adamw.AdamWState(memory.steps, *({n: v.detach() for n, v in m.items()} for m in memory[1:]))
    tensors = itertools.chain([up_loss, down_loss, by_log_weight, by_scale], end.values(), kept.second.values())
    if not all(bool(torch.isfinite(value).all()) for value in tensors):
        return None
    figures = {"up_loss": up_loss.item(), "down_loss": down_loss.item(), "down_accuracy": accuracy}
    return MetaStep(by_log_weight, by_scale, end, kept, figures)


def upstream_gradient(
    params: Params, log_weights: torch.Tensor, upstream: Sides
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], Params]:
    """Returns the weighted loss of a batch, its slopes and its gradient.

    Returns:
      the loss, without a graph; its derivatives by image features, text features and temperature, which keep a graph
      that leads to ``log_weights`` and no further; the gradient by each parameter, without a graph.
    """
    import torch

    image, text = (features(side, params).requires_grad_() for side in upstream)
    logit_scale = params[LOGIT_SCALE].detach().requires_grad_()
    loss = weighted_loss(image, text, log_weights, logit_scale)
    slopes = torch.autograd.grad(loss, (image, text, logit_scale), create_graph=True)
    grads = _sum([pull_back(side, params, slope.detach()) for side, slope in zip(upstream, slopes, strict=False)])
    grads[LOGIT_SCALE] = grads[LOGIT_SCALE] + slopes[2].detach()
    return loss.detach(), slopes, grads


def mean_gradient(
    params: Params, tasks: Sequence[Downstream], scale: torch.Tensor
) -> tuple[torch.Tensor, float, Params, torch.Tensor]:
    """Returns what ``downstream_gradient`` does, each averaged over tasks."""
    losses, accuracies, grads, by_scales = zip(*(downstream_gradient(params, t, scale) for t in tasks), strict=True)
    share = 1 / len(tasks)
    mean = {name: share * sum((grad[name] for grad in grads[1:]), grads[0][name]) for name in grads[0]}
    return share * sum(losses[1:], losses[0]), share * sum(accuracies), mean, share * sum(by_scales[1:], by_scales[0])


def downstream_gradient(
    params: Params, downstream: Downstream, scale: torch.Tensor
) -> tuple[torch.Tensor, float, Params, torch.Tensor]:
    """Returns cross-entropy over all classes, accuracy, and the loss's gradient by the parameters and by the scale."""
    import torch

    image, text = (features(side, params).requires_grad_() for side in downstream.sides)
    leaf = scale.detach().requires_grad_()
    logits = leaf.exp() * image @ text.T
    loss = torch.nn.functional.cross_entropy(logits, downstream.labels)
    slopes = torch.autograd.grad(loss, (image, text, leaf))
    grads = [pull_back(side, params, slope) for side, slope in zip(downstream.sides, slopes[:2], strict=True)]
    accuracy = float((logits.argmax(1) == downstream.labels).double().mean())
    return loss.detach(), accuracy, _sum(grads), slopes[2]


def _sum(found: Sequence[Params]) -> Params:
    return {name: found[0][name] + found[1][name] for name in found[0]}
