"""Recipes: named lists of steps, read from YAML, checked as a whole, replayed over blocks."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.band import Band
from transforms.lib.captionlength import CaptionLength
from transforms.lib.clustersteps import Balance, DensityPrune
from transforms.lib.errors import ConfigError
from transforms.lib.imagebased import ImageBased
from transforms.lib.imagesize import ImageSize
from transforms.lib.keeplanguage import KeepLanguage
from transforms.lib.metaclip import MetaClip
from transforms.lib.mixing import Mix
from transforms.lib.sampling import HardCapSample, RandomFraction, Sample, SoftCapSample
from transforms.lib.steps import Block, Step, Threshold
from transforms.lib.subsets import Subset
from transforms.lib.textmatch import TextMatch
from transforms.lib.topfraction import TopFraction

_KINDS = (
    Balance, Band, CaptionLength, DensityPrune, HardCapSample, ImageBased, ImageSize, KeepLanguage, MetaClip, Mix,
    RandomFraction, Sample, SoftCapSample, Subset, TextMatch, Threshold, TopFraction,
)  # fmt: skip
STEPS: dict[str, type[Step]] = {step.kind: step for step in _KINDS}

KEPT = -1
REJECTED = -2

_MADE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLS = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A pure function from columns to copies, in steps.

    Attributes:
      name: what reports call it.
      source: the paper and section it comes from.
      steps: applied in order; labels are unique.
    """

    name: str
    source: str
    steps: tuple[Step, ...]

    def inputs(self) -> tuple[str, ...]:
        """Returns every column of the store that a step reads, without repeats, in order of first use."""
        return stored_inputs(self.steps)

    def check_made(self, sets: Mapping[str, Sequence[str]]) -> None:
        """Checks that no column that a step makes is in the store (column set -> columns) already.

        Raises:
          ConfigError: one is, so that its name would mean two things.
        """
        problems = [
            f"{step.label}: the column {name!r} that it makes is in column set {owner} already; "
            f"call it something else, for example mixed_{name}"
            for step in self.steps
            for name in step.makes()
            for owner, names in sorted(sets.items())
            if name in names
        ]
        if problems:
            raise ConfigError(problems)

    def cures(self) -> dict[str, str]:
        """Returns column of the store -> how to get it, where a step knows."""
        return {name: step.cure(name) for step in self.steps for name in step.inputs() if step.cure(name)}

    def as_dict(self) -> dict[str, Any]:
        """Returns the recipe as plain values, for stamps and the manifest."""
        steps = [{"kind": s.kind, **{n.rstrip("_"): v for n, v in dataclasses.asdict(s).items()}} for s in self.steps]
        return {"name": self.name, "source": self.source, "steps": steps}


@dataclasses.dataclass(frozen=True)
class Decisions:
    """What a recipe decided for the rows of one shard.

    Attributes:
      copies: uint16 ``[n]``; 0 = not in the output.
      step: int16 ``[n]``; index of the step that dropped the row, ``KEPT`` or ``REJECTED``.
      margin: float32 ``[n]``; of the step that dropped the row, else the smallest margin of all steps;
        NaN for a rejected row, infinity under a recipe without steps.
    """

    copies: NDArray[np.uint16]
    step: NDArray[np.int16]
    margin: NDArray[np.float32]


def parse(document: object, overrides: Mapping[str, str] | None = None, *, seed: int = 0) -> Recipe:
    """Builds a recipe from a YAML document.

    Args:
      document: mapping with ``name``, ``source`` and ``steps``: a list of one-entry mappings
        ``{kind: {parameter: value}}``; ``label`` names a step, its kind otherwise.
      overrides: ``step.parameter`` -> value as text; ``step`` is a label.
      seed: for every step that draws and names no seed of its own.

    Raises:
      ConfigError: everything wrong with the document and the overrides, one line each.
    """
    if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
        raise ConfigError("a recipe is a YAML mapping with name, source and a list of steps")
    found: list[str] = [f"recipe key {key!r} is unknown; use name, source, steps" for key in document
                        if key not in ("name", "source", "steps")]  # fmt: skip
    labels: set[str] = set()
    steps = [_step(entry, labels, seed, found) for entry in document["steps"]]
    built = _override([step for step in steps if step], overrides or {}, found)
    found += [line for step in built for line in step.problems()]
    found += _made_problems(built)
    if found:
        raise ConfigError(found)
    return Recipe(str(document.get("name", "unnamed")), str(document.get("source", "")), tuple(built))


def _step(entry: object, labels: set[str], seed: int, found: list[str]) -> Step | None:
    if not isinstance(entry, dict) or len(entry) != 1:
        found.append(f"a step is written as '- kind: {{parameter: value}}', got {entry!r}")
        return None
    ((kind, parameters),) = entry.items()
    if kind not in STEPS:
        near = difflib.get_close_matches(str(kind), STEPS, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(STEPS))}"
        found.append(f"step {kind!r} is unknown{hint}")
        return None
    values = dict(parameters or {})
    label = str(values.pop("label", kind))
    if label in labels:
        found.append(f"two steps are called {label}; give one of them a label")
    labels.add(label)
    types = {*_parameters(STEPS[kind]), "label"}
    for name in sorted(set(values) - types):
        found.append(f"{label}.{name} is unknown; {kind} has {', '.join(sorted(types - {'label'}))}")
        del values[name]
    if "seed" in types:
        values.setdefault("seed", seed)
    return _changed(STEPS[kind](label=label), values, found)


def _parameters(step: Step | type[Step]) -> dict[str, str]:
    """Returns parameter as the YAML has it -> field; a field called ``as_`` is the parameter ``as``."""
    return {field.name.rstrip("_"): field.name for field in dataclasses.fields(step) if field.name != "label"}


def _made_problems(steps: Sequence[Step]) -> list[str]:
    """Returns what is wrong with the columns that steps make for one another."""
    found: list[str] = []
    makers: dict[str, str] = {}
    read: dict[str, str] = {}
    for step in steps:
        for name in step.inputs():
            read.setdefault(name, step.label)
        for name in step.makes():
            if not _MADE.fullmatch(name) or name == "uid":
                found.append(f"{step.label}: {name!r} cannot name a column; use letters, digits and _, and not uid")
            elif name in makers:
                found.append(f"{step.label}: the column {name!r} is made by {makers[name]} too; rename one of them")
            elif name in read:
                found.append(f"{read[name]} reads {name!r} before {step.label} makes it; put {step.label} first")
            makers.setdefault(name, step.label)
    return found


def _changed(step: Step, values: Mapping[str, object], found: list[str]) -> Step:
    changes: dict[str, Any] = _typed(step, values, found)
    return dataclasses.replace(step, **changes)


def _typed(step: Step, values: Mapping[str, object], found: list[str]) -> dict[str, object]:
    """Returns field -> value as the type of the step's default."""
    typed: dict[str, object] = {}
    fields = _parameters(step)
    for name, value in values.items():
        kind = type(getattr(step, fields[name]))
        try:
            typed[fields[name]] = _BOOLS[str(value).lower()] if kind is bool else kind(value)
            if kind is int and isinstance(value, float) and value != int(value):
                raise ValueError("not whole")
        except (KeyError, TypeError, ValueError):
            found.append(f"{step.label}.{name} must be of type {kind.__name__}, got {value!r}")
    return typed


def _override(steps: Iterable[Step], overrides: Mapping[str, str], found: list[str]) -> list[Step]:
    built = {step.label: step for step in steps}
    for target, text in overrides.items():
        label, _, name = target.partition(".")
        step = built.get(label)
        if step is None or name not in _parameters(step):
            known = [f"{s.label}.{parameter}" for s in built.values() for parameter in _parameters(s)]
            found.append(f"{target!r} is not a parameter of this recipe; known: {', '.join(known) or 'none'}")
            continue
        built[label] = _changed(step, {name: text}, found)
    return list(built.values())


def keep_fraction_override(recipe: Recipe, keep_fraction: float) -> dict[str, str]:
    """Returns the override that ``--keep_fraction`` stands for: the fraction of the only top_fraction step.

    Raises:
      ConfigError: the recipe has none, or more than one, so that the flag says nothing definite.
    """
    labels = [step.label for step in recipe.steps if isinstance(step, TopFraction)]
    if len(labels) != 1:
        raise ConfigError(
            f"--keep_fraction needs a recipe with exactly one top_fraction step, {recipe.name} has {len(labels)}; "
            "use --set step.fraction=VALUE"
        )
    return {f"{labels[0]}.fraction": repr(keep_fraction)}


def stored_inputs(steps: Sequence[Step], more: Iterable[str] = ()) -> tuple[str, ...]:
    """Returns the columns of the store that ``steps`` read, then those of ``more``; what a step made is not in it."""
    found: dict[str, None] = {}
    made: set[str] = set()
    for step in steps:
        found.update(dict.fromkeys(name for name in step.inputs() if name not in made))
        made.update(step.makes())
    return tuple(found | dict.fromkeys(name for name in more if name not in made))


def advance(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> Block:
    """Returns the block as the step after ``steps`` sees it: with the copies they leave and the columns they make."""
    return _replay(steps, block, states)[0]


def decide(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> Decisions:
    """Applies solved steps in order to the rows of one shard.

    Args:
      steps: in order.
      block: all columns of the store that the steps read; its ``copies`` are ignored, every valid row starts with
        one copy.
      states: the solved state of each step.

    Returns:
      Decisions with every row kept, dropped by exactly one step, or rejected.
    """
    return _replay(steps, block, states)[1]


def _replay(steps: Sequence[Step], block: Block, states: Sequence[Any]) -> tuple[Block, Decisions]:
    block = dataclasses.replace(block, copies=block.valid.astype(np.uint16))
    step_of = np.where(block.valid, KEPT, REJECTED).astype(np.int16)
    margin = np.where(block.valid, np.inf, np.nan).astype(np.float32)
    for number, (step, state) in enumerate(zip(steps, states, strict=True)):
        before = block.copies > 0
        verdict = step.apply(block, state)
        copies = np.where(before, verdict.copies, 0).astype(np.uint16)
        dropped = before & (copies == 0)
        step_of[dropped] = number
        margin[dropped] = verdict.margin[dropped]
        margin[copies > 0] = np.minimum(margin, verdict.margin)[copies > 0]
        block = dataclasses.replace(block, copies=copies, columns={**block.columns, **step.derive(block, state)})
    return block, Decisions(block.copies, step_of, margin)
