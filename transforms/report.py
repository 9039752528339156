"""Write the report: what was kept, what was dropped and why, with pictures, and thresholds that can be moved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.recipes import accounts
from transforms.lib.report import axes, gallery, html_page, survey
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.outputs import file_rows
from transforms.reporting.compose import Found, ReportFacts, report_data
from transforms.reporting.draw_shard import DrawShard
from transforms.reporting.survey_shard import SurveyShard
from transforms.rows import FileRow
from transforms.workers.decide_shard import SolvedStates


def write_report(
    books: accounts.Books,
    summary: Mapping[str, Any],
    seen: survey.Survey,
    detail: axes.Detail,
    drawn: gallery.Gallery | None,
    facts: ReportFacts,
) -> FileRow:
    """Renders and writes ``report.html``.

    Args:
      books: of the pool, closed.
      summary: the content of ``books.json``.
      seen: what was counted of the pool.
      detail: what was counted along its axes, and samples to show.
      drawn: the clusters to show; None where the pool has none.
      facts: everything else.
    """
    page = html_page.render(report_data(Found(books, summary, seen, detail, drawn), facts)).encode()
    return file_rows.write(facts.root, facts.path, page)


@dataclasses.dataclass(eq=False)
class WriteReport(beam.PTransform):
    """Writes ``report.html``: the pool's closed books in (one element), its ``FileRow`` out.

    Cost: reads the columns of the recipe twice more, and of the index sizes, captions and addresses; applies the steps
    once more where they make columns or follow a threshold. Merges some KiB per column and shard, and 20 B for each
    different number of a threshold's column, by 20 bits. One worker then reads the byte ranges of some 500 samples.

    Attributes:
      facts: what the report shows beside the books.
      summary: singleton, the content of ``books.json``.
      sources: the decided shards.
      states: singleton, the solved states of all steps.
      gallery: singleton, the clusters to show; None for a pool without any.
    """

    facts: ReportFacts
    summary: beam.PCollection[dict[str, Any]]
    sources: beam.PCollection[DecidedShard]
    states: beam.PCollection[tuple[Any, ...]]
    gallery: beam.PCollection[gallery.Gallery] | None = None

    def expand(self, books: beam.PCollection[accounts.Books]) -> beam.PCollection[FileRow]:
        states = AsSingleton(self.states | "Solved" >> beam.Map(SolvedStates.of))
        seen = (
            self.sources
            | "Survey" >> beam.Map(SurveyShard(self.facts.look), states)
            | "AddSurveys" >> beam.CombineGlobally(survey.merge)
        )
        detail = (
            self.sources
            | "Draw" >> beam.Map(DrawShard(self.facts.look), states, AsSingleton(seen))
            | "AddDetails" >> beam.CombineGlobally(axes.add)
        )
        sides = AsSingleton(self.summary), AsSingleton(seen), AsSingleton(detail)
        drawn = AsSingleton(self.gallery) if self.gallery is not None else None
        return books | "Write" >> beam.Map(write_report, *sides, drawn, self.facts)
