"""What ``annotate`` finds out before any work starts: models, files, columns, and every problem with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from beam_pipelines.config.jobs import AnnotateConfig
from beam_pipelines.planning.plan_facts import Problems, version
from transforms.annotate import AnnotateSettings
from transforms.lib import registry
from transforms.lib.annotators.annotator import Annotator
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem


def annotator_of(name: str, config: AnnotateConfig, model: str) -> Annotator:
    """Returns the annotator of a column set; ``model`` is the column set of embeddings.

    Raises:
      ConfigError: a flag that it needs is wrong or missing.
      InputError: a file or package that it needs cannot be used.
    """
    kind: type[Annotator] = registry.ANNOTATORS[name].load()
    return kind.resolve(name, {**vars(config), "model": model}, filesystem.fetch)


@dataclasses.dataclass(frozen=True)
class AnnotatePlan:
    """What ``annotate`` is going to do.

    Attributes:
      settings: for the workers.
      facts: column set -> its facts for the manifest.
    """

    settings: AnnotateSettings
    facts: dict[str, dict[str, Any]]


def scored_set(config: AnnotateConfig, sets: dict[str, list[str]]) -> str:
    """Returns the column set that related scores are made of.

    Raises:
      ConfigError: ``--model`` names none that has embeddings, or is missing and there is not exactly one.
    """
    found = [name for name, columns_ in sets.items() if {"score", "image", "text"} <= set(columns_)]
    known = f"there are {', '.join(found)}" if found else "`winnow score` adds one"
    if config.model and config.model not in found:
        raise ConfigError(f"--model {config.model} is no column set with a score and embeddings; {known}")
    if not config.model and len(found) != 1:
        raise ConfigError(f"--model is missing; name a column set with a score and embeddings; {known}")
    return config.model or found[0]


def plan_annotate(
    config: AnnotateConfig, problems: Problems, sets: dict[str, list[str]], refs: list[ShardRef]
) -> AnnotatePlan | None:
    """Finds the annotators and the columns they read among ``sets`` (column set -> columns); None when wrong."""
    wanted = [name for name in config.wanted() if name in registry.ANNOTATORS]
    related = sets and any(registry.ANNOTATORS[name].facts.get("related") for name in wanted)
    model = problems.collect(scored_set, config, sets) if related else ""
    resolved = [problems.collect(annotator_of, name, config, model or "") for name in wanted if model is not None]
    annotators = tuple(annotator for annotator in resolved if annotator is not None)
    inputs = dict.fromkeys(name for annotator in annotators for name in annotator.inputs())
    where = problems.collect(columns.resolve, inputs, sets) if sets and model is not None else None
    if where is not None:
        types = _types(config.output, refs[0].name, where)
        problems.extend(line for annotator in annotators for line in annotator.problems(types))
    if problems or where is None:
        return None
    settings = AnnotateSettings(config.output, annotators, where)
    told = {"configuration": config.recorded(), "version": version()}
    facts = {annotator.name: {**told, "made_by": annotator.made_by()} for annotator in annotators}
    return AnnotatePlan(settings, facts)


def _types(output: str, shard: str, where: Mapping[str, tuple[str, str]]) -> dict[str, pa.DataType]:
    schemas = {owner: Store(output).schema(owner, shard) for owner, _ in where.values()}
    return {name: schemas[owner].field(column).type for name, (owner, column) in where.items()}


def summary(plan: AnnotatePlan, refs: list[ShardRef]) -> dict[str, Any]:
    """Returns what ``--dry_run`` says of annotation."""
    todo = [ref.name for ref in refs if plan.settings.missing(ref.name)]
    return {
        "shards": len(refs),
        "to_annotate": len(todo),
        "done": len(refs) - len(todo),
        "columns": {name: facts["made_by"] for name, facts in plan.facts.items()},
    }
