"""The three stages in one pipeline, as ``curate`` and ``reshard --subset`` run them."""

from __future__ import annotations

from typing import NamedTuple

import apache_beam as beam

from beam_pipelines.planning import reshard as reshardplan
from beam_pipelines.planning import score as scoreplan
from beam_pipelines.planning import select as selectplan
from transforms.fit import FitRecipe
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.publish import CompareCrawl, PassGate, PublishSettings
from transforms.report import ReportFacts, WriteReport
from transforms.reshard import ReshardCopies
from transforms.rows import ShardRef
from transforms.score import ScoreShards
from transforms.select import WriteDecisions
from transforms.shards import ListShards
from transforms.summarise_crawl import Remember


class WholePlan(NamedTuple):
    """The plans of the three stages.

    Attributes:
      score: shards to score or to index; or the references of shards that are done already.
      select: what decides.
      reshard: how large the output shards are.
      report: what the report says.
      publish: how a crawl is published; None for a pool that is none.
    """

    score: scoreplan.ScorePlan | list[ShardRef]
    select: selectplan.SelectPlan
    reshard: reshardplan.ReshardPlan
    report: ReportFacts
    publish: PublishSettings | None = None


def build(pipeline: beam.Pipeline, plan: WholePlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    # 1. Tars -> columns, or columns that are there already.
    sections = []
    if isinstance(plan.score, scoreplan.ScorePlan):
        scored = pipeline | "List" >> ListShards(plan.score.shards) | "Score" >> ScoreShards(plan.score.settings)
        refs = scored | "Refs" >> beam.Map(lambda row: row.ref)
        files = scored | "ScoreFiles" >> beam.FlatMap(lambda row: row.files)
        sections.append(files | "ScoreSection" >> MakeSection("score", plan.score.facts))
    else:
        refs = pipeline | "Shards" >> beam.Create(plan.score).with_output_types(ShardRef) | beam.Reshuffle()

    # 2. Columns -> a few global numbers -> copies, and books that close.
    states = refs | "Fit" >> FitRecipe(plan.select.settings.recipe, plan.select.settings.reader, plan.select.basis)
    shards = len(plan.score.shards if isinstance(plan.score, scoreplan.ScorePlan) else plan.score)
    selection = refs | "Decide" >> WriteDecisions(plan.select.settings, states, shards)
    report = selection.books | "Report" >> WriteReport(plan.report, selection.summary)
    files = (*selection.files, report) | "SelectFiles" >> beam.Flatten()
    sections.append(files | "SelectSection" >> MakeSection("select", plan.select.facts, selection.summary))
    if plan.select.crawl:
        left = refs | "Remember" >> Remember(plan.select.crawl.remember, states, selection.summary)
        sections.append(left | "CrawlSection" >> MakeSection("crawl", plan.select.crawl.facts))

    # 3. Copies -> equal shards.
    resharded = selection.sources | "Reshard" >> ReshardCopies(plan.reshard.settings, selection.books, selection.subset)
    sections.append(resharded.files | "ReshardSection" >> MakeSection("reshard", plan.reshard.facts))

    # 4. What was done, with the sha256 of every file; then a crawl may become the latest.
    written = sections | "Sections" >> beam.Flatten() | "Manifest" >> WriteManifest(plan.select.settings.root)
    if plan.publish:
        publish(written, plan.publish)


def publish(finished: beam.PCollection[None], settings: PublishSettings) -> None:
    """Adds what comes after all else of a crawl: it is compared with the latest, and passes its gate or not."""
    compared = finished | "Compare" >> CompareCrawl(settings)
    files = compared | "DiffFiles" >> beam.FlatMap(lambda found: found.files)
    section = files | "PublishSection" >> MakeSection("publish", {}, compared | beam.Map(lambda found: found.diff))
    recorded = section | "PublishManifest" >> WriteManifest(settings.root)
    _ = recorded | "Gate" >> PassGate(settings, compared)


def publish_alone(pipeline: beam.Pipeline, settings: PublishSettings) -> None:
    """Adds a job that only lets a finished crawl become the latest; runs nothing."""
    publish(pipeline | "Crawl" >> beam.Create([None]), settings)
