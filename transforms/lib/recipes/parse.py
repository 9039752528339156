"""Recipes as people write them: YAML, checked as a whole, with parameters that the command line changes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from transforms.lib import registry, similar
from transforms.lib.errors import ConfigError
from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.all_any_not import Composed
from transforms.lib.recipes.steps.top_fraction import TopFraction

_ALL: dict[str, type[Step]] = {kind: entry.load() for kind, entry in registry.STEPS.items()}
COMPOSED: dict[str, type[Composed]] = {kind: step for kind, step in _ALL.items() if issubclass(step, Composed)}
STEPS = {kind: step for kind, step in _ALL.items() if kind not in COMPOSED}

_MADE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BOOLS = {"true": True, "false": False}
_LABEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RESERVED = ("kept", "dropped", "rejected")  # what decisions and lists of uids say beside labels
_DIGITS = 30  # of a whole number; 1e999999999 would fill the memory


def parse(
    document: object,
    overrides: Mapping[str, str] | None = None,
    *,
    keep_fraction: float | None = None,
    seed: int = 0,
) -> Recipe:
    """Builds a recipe from a YAML document.

    Args:
      document: mapping with ``name``, ``source`` and ``steps``: a list of one-entry mappings
        ``{kind: {parameter: value}}``; ``label`` names a step, its kind otherwise.
      overrides: ``step.parameter`` -> value as text; ``step`` is a label. What the document lacks may be here.
      keep_fraction: replaces the fraction of the only top_fraction step.
      seed: for every step that draws and names no seed of its own.

    Raises:
      ConfigError: everything wrong with the document and the overrides, one line each.
    """
    if not isinstance(document, dict) or not isinstance(document.get("steps"), list):
        raise ConfigError("a recipe is a YAML mapping with name, source and a list of steps")
    found: list[str] = [f"recipe key {key!r} is unknown; use name, source, steps" for key in document
                        if key not in ("name", "source", "steps")]  # fmt: skip
    found += [f"recipe key {key!r} must be {wrong}, got {document[key]!r}" for key in ("name", "source")
              if key in document and (wrong := _unlike(str, document[key]))]  # fmt: skip
    labels: set[str] = set()
    steps = _steps(document["steps"], labels, seed, found)
    changes = {**(overrides or {}), **_kept(steps, keep_fraction, str(document.get("name", "unnamed")), found)}
    built = _override(steps, changes, found)
    found += [line for step in built for line in step.problems()]
    found += _made_problems(built)
    if found:
        raise ConfigError(found)
    return Recipe(str(document.get("name", "unnamed")), str(document.get("source", "")), tuple(built))


def of_dict(values: Mapping[str, Any]) -> Recipe:
    """Builds the recipe that ``Recipe.as_dict`` returned; raises as ``parse``."""
    return parse({**values, "steps": [_entry(step) for step in values["steps"]]})


def _entry(step: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a step as YAML has it."""
    parameters = {name: value for name, value in step.items() if name != "kind"}
    if step["kind"] in COMPOSED:
        parameters["parts"] = [_entry(part) for part in step["parts"]]
    return {step["kind"]: parameters}


def _steps(entries: Iterable[object], labels: set[str], seed: int, found: list[str]) -> tuple[Step, ...]:
    return tuple(step for entry in entries if (step := _step(entry, labels, seed, found)))


def _step(entry: object, labels: set[str], seed: int, found: list[str]) -> Step | None:
    if not isinstance(entry, dict) or len(entry) != 1:
        found.append(f"a step is written as '- kind: {{parameter: value}}', got {entry!r}")
        return None
    ((kind, parameters),) = entry.items()
    if kind in COMPOSED:
        return _composed(kind, parameters, labels, seed, found)
    step = _class_of(kind, found)
    if step is None:
        return None
    if not isinstance(parameters, dict | None):
        found.append(f"a step is written as '- {kind}: {{parameter: value}}', got '{kind}: {parameters!r}'")
        return None
    values = dict(parameters or {})
    label = _label(values, kind, labels, found)
    types = {*_parameters(step), "label"}
    for name in sorted(set(values) - types, key=str):
        found.append(f"{label}.{name} is unknown; {kind} has {', '.join(sorted(types - {'label'}))}")
        del values[name]
    if "seed" in types:
        values.setdefault("seed", seed)
    return _changed(step(label=label), values, found)


def _class_of(kind: object, found: list[str]) -> type[Step] | None:
    """Returns the class of a step, Winnow's own or a plug-in's; None after a line on what is wrong."""
    if kind in STEPS:
        return STEPS[str(kind)]
    if kind in registry.STEPS.plugins:
        try:
            loaded: type[Step] = registry.STEPS.plugins[str(kind)].load()
            return loaded
        except ConfigError as error:
            found.extend(error.problems)
            return None
    known = [*STEPS, *COMPOSED, *registry.STEPS.plugins]
    hint = similar.did_you_mean(str(kind), known, f"known: {', '.join(sorted(known))}")
    found.append(f"step {kind!r} is unknown; {hint}")
    return None


def _label(values: dict[Any, Any], kind: str, labels: set[str], found: list[str]) -> str:
    label = values.pop("label", kind)
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        found.append(
            f"{kind}.label must be up to 64 lower-case letters, digits, _ and -, the first no sign, got {label!r}"
        )
        return kind
    if label in _RESERVED:
        found.append(f"{kind}.label must not be {label}, which says what became of a sample; give it another")
    if label in labels:
        found.append(f"two steps are called {label}; give one of them a label")
    labels.add(label)
    return label


def _composed(kind: str, parameters: object, labels: set[str], seed: int, found: list[str]) -> Step | None:
    """Builds a step of steps: a list of them, one alone, or either beside a label under ``parts``."""
    values = dict(parameters) if isinstance(parameters, dict) else {"parts": parameters}
    label = _label(values, kind, labels, found)
    parts = values.get("parts") if set(values) == {"parts"} else [{name: value} for name, value in values.items()]
    if not isinstance(parts, list):
        found.append(f"{label} is written as '- {kind}: [{{threshold: ...}}, ...]', got {parameters!r}")
        return None
    return COMPOSED[kind](label=label, parts=_steps(parts, labels, seed, found))


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
    """Returns field -> value as the type of the step's default.

    A number may be text: so the command line gives all of them, and YAML 1.1 those with an exponent, such as 1e-5.
    """
    typed: dict[str, object] = {}
    fields = _parameters(step)
    for name, value in values.items():
        kind = type(getattr(step, fields[name]))
        if wrong := _unlike(kind, value):
            found.append(f"{step.label}.{name} must be {wrong}, got {value!r}")
            continue
        try:
            typed[fields[name]] = _READ.get(kind, kind)(value)
        except (ArithmeticError, KeyError, TypeError, ValueError):
            found.append(f"{step.label}.{name} must be of type {kind.__name__}, got {value!r}")
    return typed


def _unlike(kind: type, value: object) -> str:
    """Returns what a value should be that would become a ``kind`` without being meant as one; empty for any other."""
    if kind is str and not isinstance(value, str):
        return "text in quotes (without them YAML reads no, on and null as something else)"
    if kind in (int, float) and isinstance(value, bool):
        return "a number"
    if kind is tuple and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
        return "a list of text"
    if kind is dict and not (isinstance(value, dict) and all(isinstance(name, str) for name in value)):
        return "a mapping, its keys text"
    return ""


def _bool(value: Any) -> bool:
    return _BOOLS[str(value).lower()]


def _whole(value: Any) -> int:
    """Returns a whole number exactly, however it is written: 12, 12.0, 1.28e10."""
    exact = Decimal(value) if isinstance(value, str) else value
    if isinstance(exact, Decimal) and exact.is_finite() and exact.adjusted() > _DIGITS:
        raise ValueError("too large to be meant")
    if int(exact) != exact:
        raise ValueError("not whole")
    return int(exact)


def _numbers(value: Any) -> dict[Any, Any]:
    """Returns a mapping with its numbers read; what is none is left for the step to name."""
    return {name: _number(one) for name, one in dict(value).items()}


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_READ: dict[type, Callable[[Any], object]] = {bool: _bool, int: _whole, dict: _numbers}


def _override(steps: Sequence[Step], overrides: Mapping[str, str], found: list[str]) -> list[Step]:
    """Returns the steps with parameters replaced, those of parts too."""
    every = {step.label: step for top in steps for step in top.flat()}
    changes: dict[str, dict[str, object]] = {}
    for target, text in overrides.items():
        label, _, name = target.partition(".")
        if label not in every or name not in _settable(every[label]):
            known = [f"{step.label}.{parameter}" for step in every.values() for parameter in _settable(step)]
            found.append(f"{target!r} is not a parameter of this recipe; known: {', '.join(known) or 'none'}")
            continue
        changes.setdefault(label, {})[name] = text
    return [_rebuilt(step, changes, found) for step in steps]


def _settable(step: Step) -> list[str]:
    return [] if isinstance(step, Composed) else list(_parameters(step))


def _rebuilt(step: Step, changes: Mapping[str, Mapping[str, object]], found: list[str]) -> Step:
    if isinstance(step, Composed):
        return dataclasses.replace(step, parts=tuple(_rebuilt(part, changes, found) for part in step.parts))
    return _changed(step, changes.get(step.label, {}), found)


def _kept(steps: Sequence[Step], keep_fraction: float | None, recipe: str, found: list[str]) -> dict[str, str]:
    """Returns the override that ``--keep_fraction`` stands for: the fraction of the only top_fraction step."""
    if keep_fraction is None:
        return {}
    labels = [step.label for top in steps for step in top.flat() if isinstance(step, TopFraction)]
    if len(labels) != 1:
        found.append(
            f"--keep_fraction needs a recipe with exactly one top_fraction step, {recipe} has {len(labels)}; "
            "use --set step.fraction=VALUE"
        )
        return {}
    return {f"{labels[0]}.fraction": repr(keep_fraction)}
