"""Write the report: what was kept, what was dropped and why, with pictures of both and of the closest calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.columnstore import notices
from transforms.lib.recipes import accounts
from transforms.lib.report import cluster_page, gallery, html_page, tar_remarks
from transforms.outputs import file_rows
from transforms.rows import FileRow
from transforms.storage import filesystem
from transforms.workers.thumbnails import thumbnails


@dataclasses.dataclass(frozen=True)
class ReportFacts:
    """What the report shows beside the books.

    Attributes:
      root: the output folder.
      pool: the input patterns, as the user wrote them.
      recipe: its name.
      steps: (label, sentence) of each step.
      score: the column that histogram and thumbnails show; empty for none.
      score_steps: labels of the steps that read it; the highest of their thresholds is drawn.
      settings: name -> value of the resolved configuration.
      stamps: name -> stamp.
      path: of the report, below the output folder.
      stale: a sentence about shards of another selection; empty where there are none.
    """

    root: str
    pool: str
    recipe: str
    steps: tuple[tuple[str, str], ...]
    score: str
    score_steps: tuple[str, ...]
    settings: Mapping[str, str]
    stamps: Mapping[str, str]
    path: str = "report.html"
    stale: str = ""


def clusters_of(drawn: gallery.Gallery, root: str) -> cluster_page.ClusterSection:
    """Returns a gallery ready to be shown, with its pictures, and how k-means went where it was run below ``root``."""
    exhibits = [exhibit for number in drawn.shown for exhibit in drawn.exhibits.get(number, ())]
    fit = filesystem.read_if_exists(filesystem.join(root, "clusters", drawn.name, "fit.json"))
    return cluster_page.lay_out(drawn, thumbnails(exhibits, root), gallery.course(fit))


def write_report(
    books: accounts.Books,
    summary: Mapping[str, Any],
    drawn: gallery.Gallery | None,
    facts: ReportFacts,
) -> FileRow:
    """Renders and writes ``report.html``.

    Args:
      books: of the pool, closed.
      summary: the content of ``books.json``.
      drawn: the clusters to show; None where the pool has none.
      facts: everything else.
    """
    page = html_page.render(_report_data(books, summary, drawn, facts)).encode()
    return file_rows.write(facts.root, facts.path, page)


def _report_data(
    books: accounts.Books,
    summary: Mapping[str, Any],
    drawn: gallery.Gallery | None,
    facts: ReportFacts,
) -> html_page.ReportData:
    shared = accounts.Repeated(**summary.get("repeated_uids", {})).sentence()
    bounds = [summary["fitted"][label].get("threshold") for label in facts.score_steps]
    thresholds = [bound for bound in bounds if isinstance(bound, float)]
    return html_page.ReportData(
        title=f"Winnow: {facts.recipe}",
        output=facts.root,
        pool=facts.pool,
        recipe=facts.recipe,
        sentences=tuple(f"{label}: {sentence}" for label, sentence in facts.steps),
        samples=books.samples,
        kept=books.kept,
        copies=books.copies,
        dropped=tuple((label, books.dropped.get(label, 0)) for label, _ in facts.steps),
        rejected=tuple(sorted(books.rejected.items())),
        notices=(*notices.sentences(books.notices), *tar_remarks.sentences(books.tar), *filter(None, [shared])),
        shards_in=books.shards,
        bytes_in=books.size_bytes,
        score_column=facts.score,
        histogram=books.histogram,
        histogram_kept=books.histogram_kept,
        threshold=max(thresholds, default=None),
        kept_thumbnails=thumbnails(books.exhibits.get("kept", ()), facts.root),
        dropped_thumbnails=thumbnails(books.exhibits.get("dropped", ()), facts.root),
        borderline_thumbnails=thumbnails(books.exhibits.get("borderline", ()), facts.root),
        clusters=clusters_of(drawn, facts.root) if drawn else None,
        settings=tuple(sorted(facts.settings.items())),
        stamps=tuple(sorted(facts.stamps.items())),
        stale=facts.stale,
    )


@dataclasses.dataclass(eq=False)
class WriteReport(beam.PTransform):
    """Writes ``report.html``: the pool's closed books in (one element), its ``FileRow`` out.

    Cost: one worker reads the byte ranges of at most 36 samples, and of 96 more where clusters are shown.

    Attributes:
      facts: what the report shows beside the books.
      summary: singleton, the content of ``books.json``.
      gallery: singleton, the clusters to show; None for a pool without any.
    """

    facts: ReportFacts
    summary: beam.PCollection[dict[str, Any]]
    gallery: beam.PCollection[gallery.Gallery] | None = None

    def expand(self, books: beam.PCollection[accounts.Books]) -> beam.PCollection[FileRow]:
        drawn = AsSingleton(self.gallery) if self.gallery is not None else None
        return books | "Write" >> beam.Map(write_report, AsSingleton(self.summary), drawn, self.facts)
