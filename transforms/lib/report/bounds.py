"""Which bounds of a recipe can be moved in the report, so that the number of kept samples is known without a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.recipes.steps.top_fraction import TopFraction

MOST = 3  # bounds that a report can move


class Bound(NamedTuple):
    """A step whose bound can be moved.

    Attributes:
      number: of the step in its recipe.
      label: of the step.
      column: by which it decides, as the recipe calls it.
      rule: ``at_least`` for a fixed bound; ``exact`` or ``datacomp`` for a share.
      fixed: later steps keep of a sample what they keep of it now, wherever the bound is.
    """

    number: int
    label: str
    column: str
    rule: str
    fixed: bool


def movable(steps: Sequence[Step]) -> tuple[Bound, ...]:
    """Returns the steps of a recipe whose bound can be moved, at most ``MOST``, in order."""
    found = []
    for number, step in enumerate(steps):
        if isinstance(step, TopFraction):
            found.append(Bound(number, step.label, step.column, step.rule, _fixed(steps, number)))
        elif isinstance(step, Threshold):
            found.append(Bound(number, step.label, step.column, "at_least", _fixed(steps, number)))
    return tuple(found[:MOST])


def _fixed(steps: Sequence[Step], number: int) -> bool:
    """Returns whether no later step fits anything to what step ``number`` leaves."""
    return not any(step.fits and step.sees_earlier for step in steps[number + 1 :])
