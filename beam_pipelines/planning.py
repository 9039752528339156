"""What is found out before any work starts: shards, models, recipe, columns, and every problem with them."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any, TypeVar

from beam_pipelines import crawling
from beam_pipelines.config import (
    BATCH_SIZES,
    PRECISION_OF,
    Config,
    ReshardConfig,
    ReshardJobConfig,
    ScoreConfig,
    SelectConfig,
)
from beam_pipelines.library import load_recipe
from transforms import manifest, storage
from transforms import shards as pools
from transforms.crawls import ALONE, Basis
from transforms.decideshard import SelectSettings
from transforms.faceboxes import FaceBoxes
from transforms.lib import columns, devices, modelfiles, modelspec, otherformats, reading, stamps
from transforms.lib.errors import ConfigError
from transforms.lib.recipe import Recipe
from transforms.lib.steps import Step
from transforms.lib.subsets import Subset
from transforms.report import ReportFacts
from transforms.rows import FeatureRef, Shard
from transforms.scoreshard import ScoreSettings, missing_sets
from transforms.writeshard import ReshardSettings

T = TypeVar("T")


class Problems(list[str]):
    """Every problem of a run, so that the user sees all of them at once.

    Attributes:
      elsewhere: the workers are other machines than this one; what this one lacks is no problem.
    """

    def __init__(self, found: Iterable[str] = (), *, elsewhere: bool = False) -> None:
        super().__init__(found)
        self.elsewhere = elsewhere

    def collect(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T | None:
        """Returns what ``work`` returns, or None after noting why it could not."""
        try:
            return work(*args, **kwargs)
        except ConfigError as error:
            self.extend(line for line in error.problems if line not in self)
            return None


def version() -> str:
    """Returns Winnow's version, as ``setup.py`` has it."""
    return metadata.version("winnow-beam")


def narrow(config: Config, kind: type[Config]) -> Any:
    """Returns the part of a config that another job's config has."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})


@dataclasses.dataclass(frozen=True)
class ScorePlan:
    """What ``score`` is going to do."""

    shards: list[Shard]
    settings: ScoreSettings
    facts: dict[str, Any]

    @property
    def refs(self) -> list[FeatureRef]:
        """The shards as later stages see them."""
        return [FeatureRef(shard.name, shard.uri, shard.size) for shard in self.shards]

    def todo(self) -> list[str]:
        """Returns the names of the shards that are not scored yet."""
        return [shard.name for shard in self.shards if missing_sets(self.settings, shard)]


def _resolved(text: str, variant: str) -> modelspec.ModelSpec:
    return modelspec.resolve(modelspec.parse_model(text), fetch=storage.fetch, variant=variant)


def plan_score(config: ScoreConfig, problems: Problems) -> ScorePlan | None:
    """Finds shards and models; None when something is wrong."""
    shards = problems.collect(pools.find_shards, config.input) if config.input else None
    if shards:
        problems.collect(pools.check_images, shards)
    specs = [problems.collect(_resolved, text, config.preprocess) for text in config.model]
    models = tuple(spec for spec in specs if spec is not None)
    for name, count in Counter(model.name for model in models).items():
        if count > 1 or name in (columns.INDEX, "decisions"):
            problems.append(f"--model: the column set name {name} is taken; write --model OTHER={name}")
    device = {"auto": "cpu"}.get(config.device, config.device)
    if not problems.elsewhere:
        device = problems.collect(devices.device_of, config.device) or "cpu"
        if config.tfio_python:
            problems.collect(otherformats.check, config.tfio_python)
    if config.preprocess == "gpu" and "cuda" not in (device, config.device):
        problems.append("--preprocess gpu needs a GPU: give --device cuda too, or use --preprocess fast")
    precision = PRECISION_OF[device] if config.precision == "auto" else config.precision
    if problems or shards is None:
        return None
    others = config.tfio_python or ("" if problems.elsewhere else otherformats.python_here())
    rules = reading.ReadRules(config.caption_field, config.max_pixels, config.max_sample_bytes, others=others)
    settings = ScoreSettings(
        config.output,
        models,
        rules,
        batch_size=config.batch_size or BATCH_SIZES[device],
        device=device,
        precision=precision,
        threads=config.threads,
        decode_threads=config.decode_threads,
    )
    pool = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    made_by = {model.name: dataclasses.asdict(model) for model in models}
    facts = {
        "configuration": config.recorded(),
        "scored_with": {"device": device, "precision": precision, "batch_size": settings.batch_size},
        "stamps": {"pool": pool, "models": made_by},
        "version": version(),
    }
    return ScorePlan(shards, settings, facts)


@dataclasses.dataclass(frozen=True)
class SelectPlan:
    """What ``select`` is going to do.

    Attributes:
      settings: for the workers.
      facts: for the manifest.
      crawl: what is special about it when it is one of many crawls; None when it is not.
      clusters: the column set of clusters that the report shows; empty for none.
    """

    settings: SelectSettings
    facts: dict[str, Any]
    crawl: crawling.CrawlPlan | None = None
    clusters: str = ""

    @property
    def basis(self) -> Basis:
        """What the fit rests on beside the pool."""
        return self.crawl.basis if self.crawl else ALONE

    def _reads_score(self, step: Step) -> bool:
        where = self.settings.where
        return self.settings.score in [where[name] for name in step.inputs() if name in where]

    def report(self, pool: str) -> ReportFacts:
        """Returns what the report says beside the books; ``pool`` is the input as the user wrote it."""
        recipe = self.settings.recipe
        return ReportFacts(
            root=self.settings.root,
            pool=pool,
            recipe=recipe.name,
            steps=tuple((step.label, step.sentence()) for step in recipe.steps),
            score=".".join(self.settings.score or ()),
            score_steps=tuple(step.label for step in recipe.steps if self._reads_score(step)),
            settings={name: str(value) for name, value in self.facts["configuration"].items()},
            stamps={"recipe": stamps.stamp(recipe=recipe.as_dict()), "winnow": self.facts["version"]},
        )


def plan_subset(config: ReshardJobConfig, problems: Problems) -> SelectPlan | None:
    """Finds the subset file that ``reshard --subset`` copies by; None when it cannot be used."""
    step = Subset(label="subset", file=config.subset)
    recipe = Recipe("subset", "the file itself", (step,))
    files = step_files(step, config.output, problems)
    if problems:
        return None
    where = {"uid": (columns.INDEX, "uid")}
    settings = SelectSettings(config.output, recipe, where, None, config.max_reject_fraction, files)
    facts: dict[str, Any] = {"configuration": config.recorded(), "recipe": recipe.as_dict(), "version": version()}
    facts["files"] = {name: digest for name, (_, digest) in files.items()}
    return SelectPlan(settings, facts)


def plan_index(config: ReshardJobConfig, problems: Problems) -> ScorePlan | None:
    """Finds the shards of a pool that is only to be copied from: an index is made.

    No image is looked at, unless faces are to be blurred: then an image that cannot be decoded is rejected now.
    """
    shards = problems.collect(pools.find_shards, config.input)
    if shards is None:
        return None
    rules = reading.ReadRules(max_sample_bytes=config.max_sample_bytes, look=bool(config.blur_faces))
    pool = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    facts = {"configuration": config.recorded(), "stamps": {"pool": pool, "models": {}}, "version": version()}
    return ScorePlan(shards, ScoreSettings(config.output, (), rules), facts)


def plan_select(
    config: SelectConfig,
    problems: Problems,
    sets: dict[str, list[str]],
    shards: int,
    scoring: ScorePlan | None = None,
) -> SelectPlan | None:
    """Finds the recipe and the columns it reads; None when wrong.

    Args:
      config: of the job.
      problems: what is wrong is added to them.
      sets: column set -> columns, those that there are or will be.
      shards: of the pool.
      scoring: what scores the pool in the same run; None when it is scored already.
    """
    overrides = dict(text.split("=", 1) for text in config.set if "=" in text)
    in_range = config.keep_fraction is None or 0 < config.keep_fraction <= 1
    fraction = config.keep_fraction if in_range else None
    recipe = problems.collect(load_recipe, config.recipe, keep_fraction=fraction, overrides=overrides, seed=config.seed)
    crawled = recipe and config.crawl_id and not config.problems()
    earlier = problems.collect(crawling.earlier_of, config, recipe) if crawled else None
    if recipe and earlier:
        recipe = problems.collect(crawling.with_kept, recipe, config, earlier)
    where = problems.collect(columns.resolve, recipe.inputs(), sets, recipe.cures()) if recipe and sets else None
    if recipe:
        problems.collect(recipe.check_made, sets)
    if problems or recipe is None or where is None:
        return None
    files = {name: found for step in recipe.steps for name, found in step_files(step, config.output, problems).items()}
    if problems:
        return None
    shown = next((where[name] for step in recipe.steps if (name := step.score()) in where), None)
    scores = [(owner, "score") for owner, names in sorted(sets.items()) if "score" in names]
    score = shown or (scores[0] if scores else None)
    settings = SelectSettings(config.output, recipe, where, score, config.max_reject_fraction, files)
    facts = {"configuration": config.recorded(), "recipe": recipe.as_dict(), "version": version()}
    facts["files"] = {name: digest for name, (_, digest) in files.items()}
    clusters = _shown_clusters(where, sets)
    if earlier is None:
        return SelectPlan(settings, facts, clusters=clusters)
    stamped = scoring.facts["stamps"] if scoring else manifest.read(config.output).get("score", {}).get("stamps", {})
    made = stamped.get("models", {}), shards, scoring.facts["stamps"]["pool"] if scoring else ""
    crawl = problems.collect(crawling.plan_crawl, config, settings, earlier, *made)
    return SelectPlan(settings, facts, crawl, clusters) if crawl else None


def _shown_clusters(where: Mapping[str, tuple[str, str]], sets: Mapping[str, Sequence[str]]) -> str:
    """Returns the column set of clusters that the recipe reads, else the first that there is; empty for none."""
    read = [owner for owner, _ in where.values()]
    return next((name for name in (*read, *sorted(sets)) if {"cluster", "similarity"} <= set(sets[name])), "")


def step_files(step: Step, root: str, problems: Problems) -> dict[str, tuple[str, str]]:
    """Returns ``label.parameter`` -> (address, sha256) of the files that a step names, checked; ``root`` as for it."""
    addresses = step.named_files(root)
    local: dict[str, str] = {}
    for name, uri in addresses.items():
        local[name] = storage.fetch(uri)
        if not os.path.isfile(local[name]):
            problems.append(f"{name}: {uri} does not exist; check the address")
    if not problems:
        problems.collect(step.check_files, local)
    return {} if problems else {n: (uri, modelfiles.sha256_of(local[n])) for n, uri in addresses.items()}


@dataclasses.dataclass(frozen=True)
class ReshardPlan:
    """What ``reshard`` is going to do."""

    settings: ReshardSettings
    facts: dict[str, Any]


def plan_reshard(
    config: ReshardConfig, shards: Sequence[Shard] | Sequence[FeatureRef], problems: Problems
) -> ReshardPlan:
    """Returns the settings, recorded alike whichever job reshards; looks for the face boxes of ``shards``."""
    config = narrow(config, ReshardConfig)
    settings = reshard_settings(config)
    if settings.boxes and shards:
        boxes = problems.collect(settings.boxes.checked, [shard.name for shard in shards])
        settings = dataclasses.replace(settings, boxes=boxes)
    return ReshardPlan(settings, {"configuration": config.recorded(), "version": version()})


def reshard_settings(config: ReshardConfig) -> ReshardSettings:
    """Returns what the resharder needs to know."""
    return ReshardSettings(
        config.output,
        samples_per_shard=config.samples_per_shard,
        max_shard_bytes=config.max_shard_bytes,
        seed=config.shuffle_seed,
        shuffle=config.shuffle,
        format=config.format,
        coalesce_bytes=config.coalesce_bytes,
        boxes=FaceBoxes(config.blur_faces) if config.blur_faces else None,
    )


def model_sets(plan: ScorePlan) -> dict[str, list[str]]:
    """Returns column set -> columns as they will be after scoring."""
    made = {model.name: columns.score_schema(model.dim, model.part).names for model in plan.settings.models}
    return {columns.INDEX: columns.INDEX_SCHEMA.names, **made}


def score_summary(plan: ScorePlan) -> dict[str, Any]:
    """Returns what ``--dry_run`` says of scoring."""
    todo = plan.todo()
    return {
        "shards": len(plan.shards),
        "bytes": sum(shard.size for shard in plan.shards),
        "to_score": len(todo),
        "done": len(plan.shards) - len(todo),
        "device": plan.settings.device,
        "precision": plan.settings.precision,
        "models": {model.name: dataclasses.asdict(model) for model in plan.settings.models},
    }
