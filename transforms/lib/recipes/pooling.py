"""What can be fitted over several crawls, or on another one, and by what name its memory goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transforms.lib import stamps
from transforms.lib.recipes.contract.step import Step
from transforms.lib.stats import crawl_summary


def not_carried(steps: Sequence[Step]) -> list[str]:
    """Returns a line for each step whose fitted state says nothing about another crawl."""
    return [
        f"{step.label}: what {step.kind} fits belongs to one crawl, and says nothing about another"
        for step in steps
        if step.fits and not step.carries
    ]


def not_pooled(steps: Sequence[Step]) -> list[str]:
    """Returns a line for each step that cannot be fitted over several crawls exactly, from what they remember."""
    found = not_carried(steps)
    for number, step in enumerate(steps):
        if step.fits and step.carries and (before := moved_by(steps, number)):
            found.append(
                f"{step.label}: what it fits depends on {before.label}, which pooling fits anew, so that summaries of "
                "earlier crawls no longer hold"
            )
    return found


def moved_by(steps: Sequence[Step], number: int) -> Step | None:
    """Returns an earlier step that is fitted too and changes what step ``number`` is fitted on; None when none does."""
    step = steps[number]
    for earlier in steps[:number]:
        made = set(earlier.makes())
        if earlier.fits and (made & set(step.inputs()) if made else step.sees_earlier):
            return earlier
    return None


def idle_state(step: Step) -> Any:
    """Returns the solved state of a step that fits nothing."""
    state = step.start()
    for _ in range(step.rounds):
        state = step.solve(state, None)
    return state


def remembered(steps: Sequence[Step], producers: Mapping[str, Any], files: Mapping[str, str]) -> tuple[str, ...]:
    """Returns for each step the name of its memory: equal names, the same samples measured in the same way.

    Args:
      steps: of a recipe.
      producers: column that a step reads -> what made it, as JSON values.
      files: ``label.parameter`` -> sha256 of the files that steps name.

    Returns:
      one name per step, 16 hex digits; empty for one that has nothing to remember, or could never be pooled.
    """
    found = []
    for number, step in enumerate(steps):
        pooled = step.fits and step.carries and moved_by(steps, number) is None
        before = [one.remembered_as() for one in steps[:number] if step.sees_earlier or one.makes()]
        read = sorted({name for one in steps[: number + 1] for name in one.inputs()})
        named = {name.rpartition(".")[2]: digest for name, digest in files.items() if name.startswith(f"{step.label}.")}
        parts = {
            "version": crawl_summary.VERSION,
            "step": step.remembered_as(),
            "before": before,
            "made_by": {name: producers.get(name) for name in read},
            "files": named,
        }
        found.append(stamps.stamp(**parts) if pooled else "")
    return tuple(found)
