"""The plan of ``annotate``: annotators, the models and files they need, and the columns they read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.config.annotate import AnnotateConfig
from beam_pipelines.planning.column_sets import choose_set
from beam_pipelines.planning.plan_facts import Problems, version
from transforms.lib import registry
from transforms.lib.annotators.annotator import Annotator
from transforms.lib.columnstore import columns
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem
from transforms.workers.annotate_shard import AnnotateSettings

_RELATED = ("score", "image", "text")  # the columns that related scores read


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


def plan_annotate(
    config: AnnotateConfig, problems: Problems, sets: dict[str, list[str]], refs: Sequence[ShardRef]
) -> AnnotatePlan | None:
    """Finds the annotators and the columns that they read.

    Args:
      config: of the job.
      problems: gets a line for everything that is wrong.
      sets: column set -> its columns; empty where the pool could not be read.
      refs: the shards of the pool.

    Returns:
      the plan; None when something is wrong.
    """
    wanted = [name for name in config.wanted() if name in registry.ANNOTATORS]
    wanted = [name for name in wanted if problems.collect(registry.ANNOTATORS[name].load)]
    related = sets and any(registry.ANNOTATORS[name].facts.get("related") for name in wanted)
    model = problems.collect(choose_set, "--model", config.model, sets, _RELATED) if related else ""
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
    common = {"configuration": config.recorded(), "version": version()}
    facts = {annotator.name: {**common, "made_by": annotator.made_by()} for annotator in annotators}
    return AnnotatePlan(settings, facts)


def _types(output: str, shard: str, where: Mapping[str, tuple[str, str]]) -> dict[str, pa.DataType]:
    schemas = {owner: Store(output).schema(owner, shard) for owner, _ in where.values()}
    return {name: schemas[owner].field(column).type for name, (owner, column) in where.items()}


def summary(plan: AnnotatePlan, refs: Sequence[ShardRef]) -> dict[str, Any]:
    """Returns what ``--dry_run`` prints about annotation, but what is left to do."""
    return {"shards": len(refs), "columns": {name: facts["made_by"] for name, facts in plan.facts.items()}}


def left(plan: AnnotatePlan, refs: Sequence[ShardRef]) -> dict[str, Any]:
    """Returns how many shards are to be annotated and how many are done; looks at the files of each."""
    todo = sum(bool(plan.settings.missing(ref.name)) for ref in refs)
    return {"to_annotate": todo, "done": len(refs) - todo}
