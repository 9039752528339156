"""The stages that jobs share: the selection, the copies that follow it, and what publishes a crawl."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from beam_pipelines.planning import reshard as reshardplan
from beam_pipelines.planning import score as scoreplan
from beam_pipelines.planning import select as selectplan
from beam_pipelines.planning.first_uids import FirstUids
from transforms.dedup import Deduplicate
from transforms.fit import FitRecipe
from transforms.gallery import DrawGallery
from transforms.outputs.manifest import MakeSection, Section, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.publish import CompareCrawl, PassGate, PublishSettings
from transforms.report import WriteReport
from transforms.reporting.compose import ReportFacts
from transforms.reshard import ReshardCopies
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.score import ScoreShards
from transforms.select import Selection, WriteDecisions
from transforms.shards import ListNumbered, ListPool, ListRefs
from transforms.summarise_crawl import Remember


class WholePlan(NamedTuple):
    """The plans of the three stages, of ``curate`` and ``reshard --subset``.

    Attributes:
      score: shards to score or to index; or the shards of a pool that is scored already.
      select: recipe, columns and files that decide.
      reshard: how large the output shards are.
      report: facts for the report.
      publish: how a crawl is published; None for a pool that is no crawl.
    """

    score: scoreplan.ScorePlan | Pool
    select: selectplan.SelectPlan
    reshard: reshardplan.ReshardPlan
    report: ReportFacts
    publish: PublishSettings | None = None


class Selected(NamedTuple):
    """The results of the selection.

    Attributes:
      selection: decisions, books and subset file, for the copies.
      sections: of the selection, and of the crawl where it is one, for the manifest.
    """

    selection: Selection
    sections: list[beam.PCollection[Section]]


def mark_repeated(refs: ShardRefs, firsts: FirstUids) -> tuple[ShardRefs, beam.PCollection[FileRow]]:
    """Adds the marks of all samples of a uid but the first; returns the shards once all have theirs, and the files."""
    listed = refs.pipeline | "Numbers" >> ListNumbered(firsts.pool)
    numbers = listed | "ByNumber" >> beam.Map(lambda row: (row[1].name, row[0])).with_output_types(tuple[str, int])
    by_name = refs | "ByName" >> beam.Map(lambda ref: (ref.name, ref)).with_output_types(tuple[str, ShardRef])
    numbered = (
        {"number": numbers, "ref": by_name}
        | "Join" >> beam.CoGroupByKey()
        | "Number" >> beam.FlatMap(_numbered).with_output_types(tuple[int, ShardRef])
    )
    done = numbered | "MarkRepeated" >> Deduplicate(firsts.settings)
    whole = refs | "Marked" >> beam.Map(lambda ref, counts: ref, AsSingleton(done.counts)).with_output_types(ShardRef)
    return whole, done.files


def _numbered(row: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[tuple[int, ShardRef]]:
    joined = row[1]
    yield from itertools.product(joined["number"], joined["ref"])


def select(refs: ShardRefs, plan: selectplan.SelectPlan, report: ReportFacts, shards: int) -> Selected:
    """Adds the selection: fits the recipe, decides every sample, and writes books, subset file and report.

    Args:
      refs: the scored shards.
      plan: recipe, columns and files that decide; the report shows samples of its ``clusters``.
      report: facts for the report.
      shards: how many ``refs`` has.
    """
    settings = plan.settings
    marked = []
    if plan.firsts:
        refs, files = mark_repeated(refs, plan.firsts)
        marked.append(files)
    states = refs | "Fit" >> FitRecipe(settings.recipe, settings.reader, plan.basis, plan.wide)
    selection = refs | "Decide" >> WriteDecisions(settings, states, shards)
    drawn = selection.sources | "Gallery" >> DrawGallery(settings.store, plan.clusters) if plan.clusters else None
    page = selection.books | "Report" >> WriteReport(report, selection.summary, selection.sources, states, drawn)
    files = (*selection.files, *marked, page) | "SelectFiles" >> beam.Flatten()
    sections = [files | "SelectSection" >> MakeSection(plan.section, plan.facts, selection.summary, root=settings.root)]
    if plan.crawl:
        summaries = refs | "Remember" >> Remember(plan.crawl.remember, states, selection.summary)
        sections.append(summaries | "CrawlSection" >> MakeSection("crawl", plan.crawl.facts, root=settings.root))
    return Selected(selection, sections)


def build(pipeline: beam.Pipeline, plan: WholePlan) -> None:
    """Adds scoring, selection and copies to ``pipeline``; runs nothing."""
    sections = []
    if isinstance(plan.score, scoreplan.ScorePlan):
        pool = plan.score.pool
        scored = pipeline | "List" >> ListPool(pool) | "Score" >> ScoreShards(plan.score.settings)
        refs, shards = scored | "Refs" >> beam.Map(lambda row: row.ref), len(pool)
        files = scored | "ScoreFiles" >> beam.FlatMap(lambda row: row.files)
        sections.append(files | "ScoreSection" >> MakeSection("score", plan.score.facts, root=plan.score.settings.root))
    else:
        refs, shards = pipeline | "Shards" >> ListRefs(plan.score), len(plan.score)

    selected = select(refs, plan.select, plan.report, shards)
    sections += selected.sections

    # Copies -> equal shards.
    copies = ReshardCopies(plan.reshard.settings, selected.selection.books, selected.selection.subset)
    resharded = selected.selection.sources | "Reshard" >> copies
    sections.append(
        resharded.files
        | "ReshardSection" >> MakeSection("reshard", plan.reshard.facts, root=plan.reshard.settings.root)
    )

    # The sha256 of every file; then a crawl may become the latest.
    written = sections | "Sections" >> beam.Flatten() | "Manifest" >> WriteManifest(plan.select.settings.root)
    if plan.publish:
        publish(written, plan.publish)


def publish(finished: beam.PCollection[None], settings: PublishSettings) -> None:
    """Adds the last stage of a crawl: it is compared with the latest, and becomes the latest if it passes its gate."""
    compared = finished | "Compare" >> CompareCrawl(settings)
    files = compared | "DiffFiles" >> beam.FlatMap(lambda comparison: comparison.files)
    section = files | "PublishSection" >> MakeSection(
        "publish", {}, compared | beam.Map(lambda one: one.diff), root=settings.root
    )
    recorded = section | "PublishManifest" >> WriteManifest(settings.root)
    _ = recorded | "Gate" >> PassGate(settings, compared)


def publish_alone(pipeline: beam.Pipeline, settings: PublishSettings) -> None:
    """Adds the publishing of a crawl that is finished already; runs nothing."""
    publish(pipeline | "Crawl" >> beam.Create([None]), settings)
