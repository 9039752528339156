"""What ``annotate`` finds out before any work starts: models, files, columns, and every problem with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from beam_pipelines.config import AnnotateConfig
from beam_pipelines.planning import Problems, version
from transforms import storage
from transforms.annotate import AnnotateSettings
from transforms.lib import captionstats, columns, language
from transforms.lib.annotators import Annotator
from transforms.rows import FeatureRef

MAKERS: dict[str, Callable[[AnnotateConfig], Annotator]] = {
    "language": lambda config: language.resolve(config.lid, storage.fetch),
    "cld3": lambda config: language.resolve_cld3(),
    "caption": lambda config: captionstats.CaptionCounts(),
}


@dataclasses.dataclass(frozen=True)
class AnnotatePlan:
    """What ``annotate`` is going to do.

    Attributes:
      settings: for the workers.
      facts: column set -> its facts for the manifest.
    """

    settings: AnnotateSettings
    facts: dict[str, dict[str, Any]]


def plan_annotate(config: AnnotateConfig, problems: Problems, sets: dict[str, list[str]]) -> AnnotatePlan | None:
    """Finds the annotators and the columns they read among ``sets`` (column set -> columns); None when wrong."""
    wanted = [name for name in config.wanted() if name in MAKERS]
    made = [problems.collect(MAKERS[name], config) for name in wanted]
    annotators = tuple(annotator for annotator in made if annotator is not None)
    inputs = dict.fromkeys(name for annotator in annotators for name in annotator.inputs())
    where = problems.collect(columns.resolve, inputs, sets) if sets else None
    if problems or where is None:
        return None
    settings = AnnotateSettings(config.output, annotators, where)
    told = {"configuration": config.recorded(), "version": version()}
    facts = {annotator.name: {**told, "made_by": annotator.made_by()} for annotator in annotators}
    return AnnotatePlan(settings, facts)


def summary(plan: AnnotatePlan, refs: list[FeatureRef]) -> dict[str, Any]:
    """Returns what ``--dry_run`` says of annotation."""
    todo = [ref.name for ref in refs if plan.settings.missing(ref.name)]
    return {
        "shards": len(refs),
        "to_annotate": len(todo),
        "done": len(refs) - len(todo),
        "columns": {name: facts["made_by"] for name, facts in plan.facts.items()},
    }
