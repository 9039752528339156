"""The plan of ``select``: the recipe, the columns and files that it reads, and the crawl where it is one."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.config.limits import LimitsConfig
from beam_pipelines.config.reshard import ReshardJobConfig
from beam_pipelines.config.select import SelectConfig
from beam_pipelines.planning import block_lists, first_uids, selections, workspace
from beam_pipelines.planning import crawl as crawling
from beam_pipelines.planning import report as reporting
from beam_pipelines.planning.plan_facts import Problems, version
from beam_pipelines.planning.recipes import load_recipe
from beam_pipelines.planning.score import ScorePlan, model_schemas
from transforms.lib import plugins, stamps
from transforms.lib.columnstore import columns
from transforms.lib.recipes.accounts import Limits
from transforms.lib.recipes.contract.step import Step
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.subset import Subset
from transforms.lib.report.threshold_panel import Chosen
from transforms.outputs import manifest
from transforms.outputs.crawls import ALONE, Basis
from transforms.outputs.selections import CURRENT, begin, section_of, stale_line
from transforms.outputs.store import Store
from transforms.reporting.compose import ReportFacts
from transforms.reporting.shard_values import SurveySettings
from transforms.storage import filesystem
from transforms.workers.decide_shard import SelectSettings
from transforms.workers.repeated_uids import FIRST_UIDS


@dataclasses.dataclass(frozen=True)
class SelectPlan:
    """What ``select`` is going to do.

    Attributes:
      settings: for the workers.
      facts: for the manifest.
      crawl: the plan of the crawl; None for a pool that is no crawl.
      clusters: the column set of clusters that the report shows; empty for none.
      firsts: what marks all samples of a uid but the first; None where all are decided.
      wide: labels of the steps that read numbers which float32 cannot hold; None where nobody looked.
      look: what the report looks at; None for the score alone.
      chosen: how the recipe was given; None where no command gives it.
      pictures: of the report: ``shown``, ``blurred`` or ``none``.
      times: the report says when the job ran, and for how long.
      networks: column set -> the network that made it, in words.
    """

    settings: SelectSettings
    facts: dict[str, Any]
    crawl: crawling.CrawlPlan | None = None
    clusters: str = ""
    firsts: first_uids.FirstUids | None = None
    wide: frozenset[str] | None = None
    look: SurveySettings | None = None
    chosen: Chosen | None = None
    pictures: str = "shown"
    times: bool = False
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def basis(self) -> Basis:
        """What the fit uses beside the pool."""
        return self.crawl.basis if self.crawl else ALONE

    def prepare(self) -> None:
        """Records that the selection is begun."""
        begin(self.settings.root, self.settings.selection, self.settings.name)

    @property
    def section(self) -> str:
        """The name of its section in the manifest."""
        return section_of(self.settings.name)

    def report(self, pool: str, *, stale: str | None = None) -> ReportFacts:
        """Returns what the report says beside the books.

        Args:
          pool: the input as the user wrote it.
          stale: the selection whose copies are in ``shards/`` when this one is made; None where it is this one.
        """
        recipe = self.settings.recipe
        return ReportFacts(
            root=self.settings.root,
            pool=pool,
            look=self.look or reporting.look_of(self.settings, {}),
            chosen=self.chosen,
            settings={name: str(value) for name, value in self.facts["configuration"].items()},
            stamps={
                "recipe": stamps.stamp(recipe=recipe.as_dict()),
                "selection": self.settings.selection,
                "winnow": self.facts["version"],
            },
            path="report.html" if self.settings.name == CURRENT else self.settings.path("report.html"),
            stale="" if stale is None else stale_line(stale, self.settings.selection),
            pictures=self.pictures,
            networks=self.networks,
            started=time.time() if self.times else 0.0,
        )


def limits_of(config: LimitsConfig) -> Limits:
    """Returns what of a selection is no failure."""
    return Limits(
        config.max_reject_fraction, config.min_coverage, config.on_repeated_uid, config.max_unreadable_fraction
    )


def plan_subset(config: ReshardJobConfig, problems: Problems, indexing: ScorePlan | None) -> SelectPlan | None:
    """Finds the subset file that ``reshard --subset`` copies by; None when it cannot be used.

    Args:
      config: of the job.
      problems: what is wrong is added to them.
      indexing: what indexes the pool in the same run; None when it was scored or indexed before.
    """
    step = Subset(label="subset", file=config.subset)
    recipe = Recipe("subset", "the file itself", (step,))
    first = "" if indexing else workspace.read_pool(config.output)[0].name
    index = columns.INDEX_SCHEMA if indexing else Store(config.output).schema(columns.INDEX, first)
    sets: Mapping[str, Sequence[str]] = {columns.INDEX: index.names}
    firsts = None
    if config.block_list:
        recipe = block_lists.with_steps(recipe, config, sets, problems)
        problems += block_lists.images_unseen(recipe) if indexing and not indexing.settings.rules.look else []
    if config.on_repeated_uid == "first":
        recipe, sets = first_uids.with_step(recipe), first_uids.with_set(sets)
    where = problems.collect(columns.resolve, recipe.inputs(), sets, recipe.hints())
    files = {name: file for one in recipe.steps for name, file in step_files(one, config.output, problems).items()}
    if problems or where is None:
        return None
    if first:
        problems.notes += block_lists.unseen(recipe, config.output, first)
    digests = {name: digest for name, (_, digest) in files.items()}
    selection = selections.identity(config.output, recipe, first_uids.without_set(where), digests, indexing)
    if config.on_repeated_uid == "first":
        firsts = first_uids.plan_first(config.output, indexing)
    settings = SelectSettings(config.output, recipe, where, None, limits_of(config), files, selection)
    facts: dict[str, Any] = {"configuration": config.recorded(), "recipe": recipe.as_dict(), "version": version()}
    facts |= {"files": digests, "selection": selection}
    look = reporting.look_of(settings, sets)
    return SelectPlan(settings, facts, firsts=firsts, look=look, pictures=config.report_pictures)


def plan_select(
    config: SelectConfig,
    problems: Problems,
    sets: Mapping[str, Sequence[str]],
    shards: int,
    scoring: ScorePlan | None = None,
) -> SelectPlan | None:
    """Finds the recipe and the columns it reads; returns None when something is wrong.

    Args:
      config: of the job.
      problems: what is wrong is added to them.
      sets: column set -> columns, of the sets that exist or that ``scoring`` adds.
      shards: how many the pool has.
      scoring: what scores the pool in the same run; None when it is scored already.
    """
    recipe, earlier = _recipe_and_crawls(config, problems)
    wide = frozenset[str]()
    if recipe and config.block_list:
        recipe = block_lists.with_steps(recipe, config, sets, problems)
    if recipe and sets and config.on_repeated_uid == "first":
        recipe, sets = first_uids.with_step(recipe), first_uids.with_set(sets)
    where = problems.collect(columns.resolve, recipe.inputs(), sets, recipe.hints()) if recipe and sets else None
    if recipe:
        problems.collect(recipe.check_made, sets)
    types: dict[str, pa.DataType] = {}
    if recipe and where:
        types = _types(config.output, where, scoring)
        problems.collect(recipe.check_types, types)
        wide = recipe.wide(types)
    if problems or recipe is None or where is None:
        return None
    files = {name: file for step in recipe.steps for name, file in step_files(step, config.output, problems).items()}
    if problems:
        return None
    if scoring is None:
        problems.notes += block_lists.unseen(recipe, config.output, workspace.read_pool(config.output)[0].name)
    score = _shown_score(recipe, where, sets)
    basis = {"thresholds": config.thresholds, "over": sorted(earlier.over), "kept": earlier.kept} if earlier else {}
    code = {f"{step.label}.code": digest for step in recipe.flat() if (digest := plugins.digest_of(type(step)))}
    made_of = {**{name: digest for name, (_, digest) in files.items()}, **code}
    selection = selections.identity(config.output, recipe, first_uids.without_set(where), made_of, scoring, **basis)
    limits = limits_of(config)
    settings = SelectSettings(config.output, recipe, where, score, limits, files, selection, config.name, code)
    facts = {"configuration": config.recorded(), "recipe": recipe.as_dict(), "version": version()}
    facts |= {"files": made_of, "selection": selection}
    models, scored_with = _networks(config.output, scoring)
    plan = SelectPlan(
        settings,
        facts,
        clusters=_shown_clusters(where, sets),
        firsts=first_uids.plan_first(config.output, scoring) if config.on_repeated_uid == "first" else None,
        look=reporting.look_of(settings, sets, types),
        chosen=reporting.chosen_by(config, recipe),
        pictures=config.report_pictures,
        times=config.report_times,
        networks=reporting.networks(models, scored_with),
        wide=wide,
    )
    if earlier is None:
        return plan
    pool = scoring.facts["stamps"]["pool"] if scoring else ""
    crawl = problems.collect(crawling.plan_crawl, config, settings, earlier, models, shards, pool)
    return dataclasses.replace(plan, crawl=crawl) if crawl else None


def _recipe_and_crawls(config: SelectConfig, problems: Problems) -> tuple[Recipe | None, crawling.Earlier | None]:
    """Returns the recipe, None where something is wrong with it, and the crawls that it rests on, if any."""
    recipe = recipe_of(config, problems)
    crawled = recipe and config.crawl_id and not config.problems()
    earlier = problems.collect(crawling.earlier_of, config, recipe) if crawled else None
    if recipe and earlier:
        recipe = problems.collect(crawling.with_kept, recipe, config, earlier)
    return recipe, earlier


def _networks(output: str, scoring: ScorePlan | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Returns column set -> its network, and column set -> device and precision, as recorded or about to be."""
    if scoring:
        return scoring.facts["stamps"]["models"], scoring.facts["scored_with"]
    found = manifest.read(output)
    return found.models, found.scored_with


def recipe_of(config: SelectConfig, problems: Problems) -> Recipe | None:
    """Reads the recipe with the changes of the flags; those out of range are noted already and left out."""
    overrides = dict(text.split("=", 1) for text in config.set if "=" in text)
    in_range = config.keep_fraction is None or 0 < config.keep_fraction <= 1
    fraction = config.keep_fraction if in_range else None
    return problems.collect(load_recipe, config.recipe, keep_fraction=fraction, overrides=overrides, seed=config.seed)


def _shown_score(
    recipe: Recipe, where: Mapping[str, tuple[str, str]], sets: Mapping[str, Sequence[str]]
) -> tuple[str, str] | None:
    """Returns the score that the report shows: that of the first step with one, else the first of the pool, if any."""
    named = next((where[name] for step in recipe.steps if (name := step.score()) and name in where), None)
    scores = [(owner, "score") for owner, names in sorted(sets.items()) if "score" in names]
    return named or (scores[0] if scores else None)


def _types(root: str, where: Mapping[str, tuple[str, str]], scoring: ScorePlan | None) -> dict[str, pa.DataType]:
    """Returns the type of each column that a recipe reads: that of the pool's first shard, or after ``scoring``."""
    owners = {owner for owner, _ in where.values()} - {FIRST_UIDS}
    if scoring:
        schemas = model_schemas(scoring)
    else:
        shard = workspace.read_pool(root)[0].name
        schemas = {owner: Store(root).schema(owner, shard) for owner in owners}
    schemas = {**schemas, FIRST_UIDS: first_uids.SCHEMA}
    return {name: schemas[owner].field(column).type for name, (owner, column) in where.items()}


def _shown_clusters(where: Mapping[str, tuple[str, str]], sets: Mapping[str, Sequence[str]]) -> str:
    """Returns the column set of clusters that the recipe reads, else the first that there is; empty for none."""
    read = [owner for owner, _ in where.values()]
    return next((name for name in (*read, *sorted(sets)) if {"cluster", "similarity"} <= set(sets[name])), "")


def step_files(step: Step, root: str, problems: Problems) -> dict[str, tuple[str, str]]:
    """Checks the files that a step names; returns ``label.parameter`` -> (address, sha256), empty after a problem.

    Args:
      step: of the recipe.
      root: the output folder, for files of earlier crawls.
      problems: gets a line for each file that is missing or cannot be used.
    """
    addresses = step.named_files(root)
    local: dict[str, str] = {}
    for name, uri in addresses.items():
        local[name] = filesystem.fetch(uri)
        if not os.path.isfile(local[name]):
            problems.append(f"{name}: {uri} does not exist; check the address")
    if not problems:
        problems.collect(step.check_files, local)
    return {} if problems else {n: (uri, stamps.sha256_of(local[n])) for n, uri in addresses.items()}
