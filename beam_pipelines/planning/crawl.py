"""The plan of one crawl of many: the earlier crawls that it uses, and whether their summaries and states fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from beam_pipelines.config.crawl import AGAINST, GateConfig
from beam_pipelines.config.select import SelectConfig
from transforms.lib import stamps
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.recipes import pooling
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.drop_kept import DropKept
from transforms.outputs import crawls, manifest, selections
from transforms.outputs.crawls import Basis
from transforms.outputs.json_files import Document
from transforms.publish import Gate, PublishSettings
from transforms.storage import filesystem
from transforms.summarise_crawl import RememberSettings
from transforms.workers import fitted
from transforms.workers.decide_shard import SelectSettings

KEPT = "kept_before"  # label of the step that --dedup_against puts first


@dataclasses.dataclass(frozen=True)
class Earlier:
    """The earlier crawls that a crawl uses; fixed when the crawl is first started.

    Attributes:
      over: id -> ``crawl.json`` of the crawls that thresholds are fitted over too, or of the one that they come from.
      kept: ids of the crawls whose kept samples are dropped.
      request: stamp of the flags and the recipe that decide about the crawl.
    """

    over: Mapping[str, Document]
    kept: tuple[str, ...]
    request: str


@dataclasses.dataclass(frozen=True)
class CrawlPlan:
    """What is special about selecting from a crawl.

    Attributes:
      basis: summaries of earlier crawls to fit over too, or states to take over.
      remember: the settings of its own summary.
      document: ``crawl.json`` until the crawl is published.
    """

    basis: Basis
    remember: RememberSettings
    document: Document

    @property
    def facts(self) -> dict[str, Any]:
        """The values of ``crawl.json`` that the manifest repeats."""
        return {name: self.document[name] for name in ("thresholds", "over", "dedup_against", "kept_of")}

    def done(self, output: str) -> bool:
        """Returns whether the crawl was completed from the same shards, so that only its gate is left."""
        known = crawls.read(output)
        return bool(known.get("complete")) and all(known[name] == self.document[name] for name in ("pool", "asked"))

    def prepare(self, output: str) -> None:
        """Writes ``crawl.json``, and removes the summaries that an earlier run of this crawl wrote."""
        filesystem.delete(crawls.summaries(output))
        crawls.write(output, self.document)


def earlier_of(config: SelectConfig, recipe: Recipe) -> Earlier:
    """Returns the earlier crawls that a crawl uses: the published ones, or those of its first run where it had one.

    Raises:
      InputError: the crawl whose thresholds are to be taken is not complete.
    """
    root, crawl = crawls.split(config.output)
    names = {field.name for field in dataclasses.fields(SelectConfig)}
    flags = {name: value for name, value in config.recorded().items() if name in names}
    request = stamps.stamp(configuration=flags, recipe=recipe.as_dict())
    known = crawls.read(config.output)
    if known.get("asked") == request:
        over, kept = known["over"], known["kept_of"]
    else:
        looks = config.thresholds == "pooled" or config.dedup_against != "none"
        before = list(crawls.published(root, crawl)) if looks else []
        over = before if config.thresholds == "pooled" else [one for one in [config.frozen()] if one]
        kept = before if config.dedup_against != "none" else []
    documents = {one: crawls.read(crawls.folder(root, one)) for one in over}
    if config.frozen() and not documents[config.frozen()].get("complete"):
        raise InputError(f"--thresholds {config.thresholds}: {root} has no complete crawl {config.frozen()}")
    return Earlier(documents, tuple(kept), request)


def with_kept(recipe: Recipe, config: SelectConfig, earlier: Earlier) -> Recipe:
    """Returns the recipe; with ``--dedup_against``, a step comes first that drops what earlier crawls kept.

    Raises:
      ConfigError: the recipe has a step of that name.
    """
    if config.dedup_against == "none":
        return recipe
    if any(step.label == KEPT for step in recipe.flat()):
        raise ConfigError(f"--dedup_against: the recipe has a step {KEPT} already; give that another label")
    first = DropKept(label=KEPT, by=AGAINST[config.dedup_against], crawls=earlier.kept)
    return dataclasses.replace(recipe, steps=(first, *recipe.steps))


def plan_crawl(
    config: SelectConfig, settings: SelectSettings, earlier: Earlier, models: Mapping[str, Any], shards: int, pool: str
) -> CrawlPlan:
    """Plans the fit of a crawl and its summary.

    Args:
      config: of the job.
      settings: how the crawl is decided.
      earlier: the crawls that it uses.
      models: column set -> values of its ``ModelSpec``, of those that a network made.
      shards: how many the crawl has.
      pool: stamp of the crawl's shards; empty where it is not known.

    Raises:
      ConfigError: steps cannot be fitted with ``--thresholds``, or earlier crawls do not fit them; every problem.
    """
    steps = settings.recipe.steps
    producers = {
        name: {"column": ".".join(place), "by": models.get(place[0])} for name, place in settings.where.items()
    }
    digests = {name: digest for name, (_, digest) in settings.files.items()}
    names = pooling.remembered(steps, producers, digests)
    basis = _basis(config, settings, earlier, producers, names)
    score = settings.score and {"column": ".".join(settings.score), "by": models.get(settings.score[0])}
    document = {
        "crawl_id": config.crawl_id,
        "asked": earlier.request,
        "pool": pool,
        "thresholds": config.thresholds,
        "over": sorted(earlier.over),
        "dedup_against": config.dedup_against,
        "kept_of": list(earlier.kept),
        "summaries": [name for name in names if name],
        "producers": producers,
        "score": score,
        "complete": False,
    }
    return CrawlPlan(basis, RememberSettings(settings, names, shards), document)


def _basis(
    config: SelectConfig,
    settings: SelectSettings,
    earlier: Earlier,
    producers: Mapping[str, Any],
    names: tuple[str, ...],
) -> Basis:
    if config.frozen():
        return Basis(states=_frozen(config, settings, earlier.over[config.frozen()], producers))
    return _pooled(config, settings, earlier.over, names) if config.thresholds == "pooled" else Basis()


def _pooled(
    config: SelectConfig, settings: SelectSettings, over: Mapping[str, Document], names: tuple[str, ...]
) -> Basis:
    steps = settings.recipe.steps
    problems = [f"--thresholds pooled: {line}; use fitted" for line in pooling.not_pooled(steps)]
    root = crawls.split(config.output)[0]
    memories = []
    for crawl, known in over.items():
        summaries = crawls.summaries(crawls.folder(root, crawl))
        lacking = [
            step.label
            for step, name in zip(steps, names, strict=True)
            if name and name not in known.get("summaries", ())
        ]
        problems += [
            f"--thresholds pooled: crawl {crawl} left no summary for {label} as it is now: another network, column, "
            "seed or step before it; use fitted, or select that crawl alike"
            for label in lacking
        ]
        if not summaries:
            problems.append(
                f"--thresholds pooled: the summaries of crawl {crawl} are gone; select it again, or use fitted"
            )
        memories += summaries
    if problems:
        raise ConfigError(problems)
    return Basis(memories=tuple(memories), names=names)


def _frozen(
    config: SelectConfig, settings: SelectSettings, known: Document, producers: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Returns the solved states of another crawl, one per step of this crawl."""
    flag = f"--thresholds {config.thresholds}"
    root = crawls.split(config.output)[0]
    theirs, solved = fitted.read(selections.find(crawls.folder(root, config.frozen())))
    fits = {step.label: (step, state) for step, state in zip(theirs.recipe.steps, solved, strict=True)}
    problems = [f"{flag}: {line}" for line in pooling.not_carried(settings.recipe.steps)]
    states = []
    for step in settings.recipe.steps:
        fit = fits.get(step.label)
        if not step.fits:
            states.append(pooling.idle_state(step))
        elif fit is None or fit[0] != step:
            problems.append(f"{flag}: that crawl has no step {step.label} with these parameters; give the same recipe")
        else:
            states.append(fit[1])
        stored = [name for name in step.inputs() if name in producers]
        if step.fits and any(known["producers"].get(name) != producers[name] for name in stored):
            problems.append(
                f"{flag}: what {step.label} reads was made by another network there; score alike, or use fitted"
            )
    if problems:
        raise ConfigError(problems)
    return tuple(states)


def publishing(config: GateConfig) -> PublishSettings:
    """Returns the settings of publishing a crawl."""
    low, high = config.retention()
    return PublishSettings(config.output, Gate(low, high, config.gate_drift, config.allow_older), config.compare_with)


def check_publishable(output: str, shards: bool) -> None:
    """Checks that a crawl was selected, and resharded where it has shards to copy from.

    Raises:
      InputError: it was not, or its selection is not whole.
    """
    done = manifest.read(output).sections
    lacking = [job for job in ("select", *(["reshard"] if shards else [])) if job not in done]
    if lacking or not crawls.read(output):
        job = lacking[0] if lacking else "select"
        raise InputError(f"--output {output} is not finished; run `winnow {job}` with this --crawl_id first")
    selections.find(output)
