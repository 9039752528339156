"""The loop around any training: epochs, held-out measure, the best state, an early stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Weights = TypeVar("Weights")


def run(
    epochs: int,
    patience: int,
    train: Callable[[], float],
    measure: Callable[[], dict[str, float]],
    snapshot: Callable[[], Weights],
) -> tuple[list[dict[str, float]], int, Weights]:
    """Trains until the held-out loss stops falling.

    Args:
      epochs: at most.
      patience: epochs without a better held-out loss before stopping.
      train: runs one epoch; returns its mean loss.
      measure: returns ``held_loss`` and other figures of the held-out pairs.
      snapshot: returns a copy of what is being trained.

    Returns:
      (one mapping per epoch, position of the epoch with the lowest held-out loss, its snapshot).
    """
    history: list[dict[str, float]] = []
    best, state = 0, snapshot()
    for epoch in range(epochs):
        loss = train()
        history.append({"epoch": epoch, "train_loss": loss, **measure()})
        if epoch == 0 or history[epoch]["held_loss"] < history[best]["held_loss"]:
            best, state = epoch, snapshot()
        if epoch - best >= patience:
            break
    return history, best, state
