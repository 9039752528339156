"""The plan of the report: which columns it looks at, and the command that makes its selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.config.base import flags_of
from beam_pipelines.config.select import SelectConfig
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.top_fraction import TopFraction
from transforms.lib.report.threshold_panel import Chosen
from transforms.reporting.shard_values import Place, SurveySettings
from transforms.workers.decide_shard import SelectSettings

_COLUMNS = 12  # that a report shows, beside those that steps make
_DUPLICATES = {"duplicate_of", "group", "similarity"}


def look_of(
    settings: SelectSettings, sets: Mapping[str, Sequence[str]], types: Mapping[str, pa.DataType] | None = None
) -> SurveySettings:
    """Returns what the report of a selection looks at.

    Columns of one number per sample that the recipe reads come first, then the scores of other column sets.

    Args:
      settings: of the selection.
      sets: column set -> columns, of those that are there when the selection is made.
      types: column as the recipe calls it -> its type; None where nobody knows.
    """
    duplicates = tuple(sorted(name for name, columns in sets.items() if set(columns) >= _DUPLICATES))
    read: dict[str, Place] = {
        name: place
        for name, place in settings.where.items()
        if types and _is_number(types[name]) and place[0] not in duplicates and place[1] != "cluster"
    }
    others: list[Place] = [(owner, "score") for owner, columns in sorted(sets.items()) if "score" in columns]
    places = dict.fromkeys([*read.values(), *filter(None, [settings.score]), *others])
    numbers = {f"{owner}.{column}": (owner, column) for owner, column in [*places][:_COLUMNS]}
    names = {name: ".".join(place) for name, place in read.items() if ".".join(place) in numbers}
    made = {name: name for step in settings.recipe.steps for name in step.makes()}
    score = ".".join(settings.score or ())
    language = next(((name, "label") for name in ("language", "cld3") if "label" in sets.get(name, ())), None)
    return SurveySettings(settings, numbers, {**names, **made}, score, language, duplicates)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def chosen_by(config: SelectConfig, recipe: Recipe) -> Chosen | None:
    """Returns how a recipe was given, as flags of ``select``; None for a crawl, which is more than one selection.

    The output folder stands there as OUT, since the same selection has the same report wherever it lies.
    """
    if config.crawl_id:
        return None
    given = []
    for name, declared in flags_of(SelectConfig).items():
        value = getattr(config, name)
        if name in ("output", "report_pictures", "report_times") or (value == declared.default and name != "recipe"):
            continue
        given += [(name, str(one)) for one in (value if isinstance(value, tuple) else (value,))]
    fractions = sum(isinstance(step, TopFraction) for step in recipe.flat())
    return Chosen("winnow select --output OUT", tuple(given), fractions == 1)


def networks(models: Mapping[str, Mapping[str, Any]], scored_with: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns column set -> the network that made it and how it ran, in words.

    Args:
      models: column set -> values of its ``ModelSpec``.
      scored_with: column set -> device, precision and batch size.
    """
    return {
        name: ", ".join(
            [
                *dict.fromkeys(str(spec[part]) for part in ("kind", "source", "weights") if spec.get(part)),
                f"sha256 of its weights {str(spec.get('weights_sha256', ''))[:16]}",
                *(f"{fact} {value}" for fact, value in sorted(scored_with.get(name, {}).items())),
            ]
        )
        for name, spec in sorted(models.items())
    }
