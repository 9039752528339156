"""Train the towers of a network whole, on pairs that stream by: schedule, steps, validation, checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from transforms.lib.training import open_clip_recipe, tower_checkpoint
from transforms.lib.training.pair_stream import Place, draw
from transforms.lib.training.tower_checkpoint import State
from transforms.lib.training.tower_step import Batch, Towers

Tell = Callable[[int, Mapping[str, float]], None]
"""Gets the number of steps taken, and figures by name."""


@dataclasses.dataclass(frozen=True)
class TowerSettings:
    """How whole towers are trained.

    Attributes:
      seed: of what the towers draw, such as dropout.
      steps: of the optimiser.
      warmup: steps that lead up to the full learning rate, which then falls to 0 along a cosine.
      learning_rate: of AdamW at its highest.
      weight_decay: of AdamW.
      accumulate: batches per step, whose gradients are averaged.
      validate_every: steps between validations; the last step is always validated.
      patience: validations without a better held-out loss before stopping.
      checkpoint_every: steps between checkpoints.
      keep_start: share of the starting weights in the result, in [0, 1): a weight ensemble (Wortsman et al. 2021,
        arXiv:2109.01903).
    """

    seed: int = 0
    steps: int = 1000
    warmup: int = 0
    learning_rate: float = 1e-5
    weight_decay: float = 0.1
    accumulate: int = 1
    validate_every: int = 100
    patience: int = 10
    checkpoint_every: int = 500
    keep_start: float = 0.0

    def rate(self, step: int) -> float:
        """Returns the learning rate of a step, from 0."""
        return open_clip_recipe.cosine_rate(step, steps=self.steps, warmup=self.warmup, peak=self.learning_rate)


class Batches(Protocol):
    """The batches of this process."""

    def take(self) -> tuple[Batch, dict[int, Place]]:
        """Returns the next batch, and where its lanes are after it."""
        ...


def fit(
    towers: Towers,
    batches: Callable[[Mapping[int, Place]], Batches],
    measure: Callable[[], dict[str, float]],
    settings: TowerSettings,
    folder: Path,
    stamp: str,
    tell: Tell,
) -> tuple[list[dict[str, float]], int]:
    """Trains every parameter contrastively, in place, or goes on from the folder's checkpoint.

    Args:
      towers: end with the weights of the best validation.
      batches: makes the batches, from lane -> where it begins; none for the start.
      measure: returns ``held_loss`` and other figures; called in the first process alone.
      settings: how.
      folder: for the checkpoint; exists.
      stamp: of the run, the same as that of a checkpoint there.
      tell: gets figures of every step.

    Returns:
      (one mapping per validation, position of the best).
    """
    network, world = towers.network, towers.world
    before = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    optimizer = open_clip_recipe.adamw(network, weight_decay=settings.weight_decay)
    state = _begin(network, optimizer, folder)
    stream = batches(state.places)
    while not _over(state, settings):
        state = _step(towers, optimizer, stream, state, settings, tell)
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            network.eval()
            state = _validated(network, state, world.told(measure() if world.first else {}))
            tell(state.step, {f"held/{n}": v for n, v in state.history[-1].items() if n not in ("epoch", "step")})
        if state.step % settings.checkpoint_every == 0 or _over(state, settings):
            places = {lane: place for part in world.listed(state.places) for lane, place in part.items()}
            if world.first:
                tower_checkpoint.save(_with_tensors(state, network, optimizer)._replace(places=places), folder, stamp)
    network.eval()
    network.load_state_dict({name: _mixed(value, before[name], settings.keep_start)
                             for name, value in state.kept.items()})  # fmt: skip
    return state.history, state.best


def _begin(network: Any, optimizer: Any, folder: Path) -> State:
    if tower_checkpoint.stamp_of(folder) is None:
        return State(0, [], 0, [], {}, {}, {}, {})
    state = tower_checkpoint.load(folder)
    network.load_state_dict(state.weights)
    for name, parameter in network.named_parameters():
        if f"{name}/first" in state.moments:
            held = {"exp_avg": state.moments[f"{name}/first"], "exp_avg_sq": state.moments[f"{name}/second"]}
            moved = {what: value.to(parameter.device) for what, value in held.items()}
            optimizer.state[parameter] = {"step": state.moments[f"{name}/step"], **moved}
    return state


def _with_tensors(state: State, network: Any, optimizer: Any) -> State:
    moments: dict[str, Any] = {}
    for name, parameter in network.named_parameters():
        if held := optimizer.state.get(parameter):
            named = {"first": held["exp_avg"], "second": held["exp_avg_sq"], "step": held["step"]}
            moments |= {f"{name}/{what}": value for what, value in named.items()}
    return state._replace(weights=network.state_dict(), moments=moments)


def _over(state: State, settings: TowerSettings) -> bool:
    tired = len(state.history) - 1 - state.best >= settings.patience
    return state.step >= settings.steps or (bool(state.history) and tired)


def _step(towers: Towers, optimizer: Any, stream: Batches, state: State, settings: TowerSettings, tell: Tell) -> State:
    import torch

    torch.manual_seed(draw(settings.seed, state.step, towers.world.rank) >> 1)
    rate = settings.rate(state.step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    towers.network.train()
    losses, places = [], dict(state.places)
    for _ in range(settings.accumulate):
        batch, places = stream.take()
        losses.append(towers.accumulate(batch, 1 / settings.accumulate))
    towers.finish(optimizer)
    loss = sum(losses) / len(losses)
    tell(state.step + 1, {"train/loss": loss, "train/learning_rate": rate})
    return state._replace(step=state.step + 1, losses=[*state.losses, loss], places=places)


def _validated(network: Any, state: State, figures: dict[str, float]) -> State:
    number = len(state.history)
    mean = sum(state.losses) / max(1, len(state.losses))
    row = {"epoch": number, "step": state.step, "train_loss": mean, **figures}
    history = [*state.history, row]
    if number and row["held_loss"] >= history[state.best]["held_loss"]:
        return state._replace(history=history, losses=[])
    kept = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    return state._replace(history=history, losses=[], best=number, kept=kept)


def _mixed(value: Any, start: Any, share: float) -> Any:
    return (1 - share) * value + share * start if share and value.is_floating_point() else value
