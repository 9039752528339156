"""The content of the report, put together from everything that was found of a pool."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transforms.lib.columnstore import notices
from transforms.lib.recipes import accounts
from transforms.lib.report import (
    axes,
    charts,
    cluster_page,
    column_charts,
    gallery,
    html_page,
    quality,
    survey,
    tar_remarks,
    threshold_panel,
)
from transforms.lib.report.exhibit import Exhibit, Kind
from transforms.lib.report.thumbnail import Thumbnail
from transforms.reporting.shard_values import SurveySettings
from transforms.reporting.thumbnails import thumbnails
from transforms.storage import filesystem

MOST_BYTES = 3_100_000  # of pictures; a third more as text, and the page is still below 5 MB
_ORDER = ("rung", "nearest", "kept", "borderline", "rejected", "duplicates", "drawn")
"""Kinds of pictures, those first that are left out last."""


@dataclasses.dataclass(frozen=True)
class ReportFacts:
    """What the report shows beside what was found.

    Attributes:
      root: the output folder.
      pool: the input patterns, as the user wrote them.
      look: what is looked at.
      chosen: how the recipe was given; None where no command gives it.
      settings: name -> value of the resolved configuration.
      stamps: name -> stamp.
      path: of the report, below the output folder.
      stale: a sentence about shards of another selection; empty where there are none.
      pictures: ``shown``, ``blurred`` or ``none``.
      networks: column set -> the network that made it, in words.
      started: when the job was planned, in seconds since 1970; 0 for a report that does not say.
    """

    root: str
    pool: str
    look: SurveySettings
    chosen: threshold_panel.Chosen | None
    settings: Mapping[str, str]
    stamps: Mapping[str, str]
    path: str = "report.html"
    stale: str = ""
    pictures: str = "shown"
    networks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    started: float = 0.0


class Found(NamedTuple):
    """What was found of a pool.

    Attributes:
      books: closed.
      summary: the content of ``books.json``.
      seen: what was counted.
      detail: what was counted along axes, and samples to show.
      drawn: the clusters to show; None where the pool has none.
    """

    books: accounts.Books
    summary: Mapping[str, Any]
    seen: survey.Survey
    detail: axes.Detail
    drawn: gallery.Gallery | None


def report_data(found: Found, facts: ReportFacts) -> html_page.ReportData:
    """Returns the content of the report."""
    books, summary, recipe = found.books, found.summary, facts.look.select.recipe
    shared = accounts.Repeated(**summary.get("repeated_uids", {})).sentence()
    shown, clusters, left_out = _pictures(found, facts)
    return html_page.ReportData(
        title=f"Winnow: {recipe.name}",
        depth=facts.path.count("/"),
        pool=facts.pool,
        recipe=recipe.name,
        samples=books.samples,
        kept=books.kept,
        copies=books.copies,
        steps=_steps(found, facts, shown),
        rejected=tuple(
            html_page.Rejected(reason, samples, shown.get(("rejected", reason), ()))
            for reason, samples in sorted(books.rejected.items())
        ),
        notices=(
            *filter(None, [books.lost.sentence()]),
            *notices.sentences(books.notices),
            *tar_remarks.sentences(books.tar),
            *filter(None, [shared]),
        ),
        shards_in=books.shards,
        bytes_in=books.size_bytes,
        panels=_panels(found, facts, shown),
        columns=_columns(found, facts),
        grids=column_charts.grids(found.seen, found.detail.grids),
        kept_thumbnails=shown.get(("kept",), ()),
        borderline_thumbnails=shown.get(("borderline",), ()),
        duplicates=quality.duplicate_sets(
            found.seen, {(kind[1], kind[2]): some for kind, some in shown.items() if kind[0] == "duplicates"}
        ),
        copies_chart=quality.copies_chart(found.seen),
        clusters=clusters,
        measures=quality.measures(found.seen),
        shares=quality.shares(found.seen),
        command=facts.chosen.whole() if facts.chosen else "",
        settings=tuple(sorted(facts.settings.items())),
        stamps=tuple(sorted(facts.stamps.items())),
        networks=tuple(sorted(facts.networks.items())),
        times=_times(facts.started, books.samples) if facts.started else (),
        stale=facts.stale,
        left_out=left_out,
    )


def _times(started: float, samples: int) -> tuple[tuple[str, str], ...]:
    """Returns when a job began, and how long it ran until its report was written."""
    seconds = max(time.time() - started, 0.001)
    begun = datetime.datetime.fromtimestamp(started, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return (
        ("begun", begun),
        ("until this report", f"{seconds:,.1f} s"),
        ("samples per second", f"{samples / seconds:,.1f}"),
    )


def _pictures(
    found: Found, facts: ReportFacts
) -> tuple[dict[Kind, tuple[Thumbnail, ...]], cluster_page.ClusterSection | None, int]:
    """Reads all pictures; returns kind -> pictures, the section of clusters, and how many were left out."""
    exhibits = found.detail.exhibits
    order = sorted(exhibits, key=lambda kind: (_ORDER.index(kind[0]), kind))
    listed: list[Exhibit] = [exhibit for kind in order for exhibit in exhibits[kind]]
    hung = found.drawn
    of_clusters = [one for number in hung.shown for one in hung.exhibits.get(number, ())] if hung else []
    every, left_out = within(thumbnails([*listed, *of_clusters], facts.root, facts.pictures))
    shown, at = {}, 0
    for kind in order:
        shown[kind] = every[at : at + len(exhibits[kind])]
        at += len(exhibits[kind])
    if hung is None:
        return shown, None, left_out
    fit = filesystem.read_if_exists(filesystem.join(facts.root, "clusters", hung.name, "fit.json"))
    return shown, cluster_page.lay_out(hung, every[at:], gallery.course(fit)), left_out


def within(every: Sequence[Thumbnail]) -> tuple[tuple[Thumbnail, ...], int]:
    """Returns the pictures without those beyond ``MOST_BYTES``, and how many these are."""
    room, found, left_out = MOST_BYTES, [], 0
    for one in every:
        if len(one.jpeg) > room:
            one, left_out = dataclasses.replace(one, jpeg=b""), left_out + 1
        room -= len(one.jpeg)
        found.append(one)
    return tuple(found), left_out


def _steps(
    found: Found, facts: ReportFacts, shown: Mapping[Kind, tuple[Thumbnail, ...]]
) -> tuple[html_page.StepRow, ...]:
    rows, left = [], found.books.samples - found.books.num_rejected
    for step in facts.look.select.recipe.steps:
        dropped = found.books.dropped.get(step.label, 0)
        pictures = shown.get(("drawn", step.label), ()), shown.get(("nearest", step.label), ())
        rows.append(html_page.StepRow(step.label, step.sentence(), left, dropped, *pictures))
        left -= dropped
    return tuple(rows)


def _bounds(found: Found, facts: ReportFacts) -> dict[str, list[tuple[float, str]]]:
    """Returns name of a column -> the bounds that steps set on it, in words."""
    marks: dict[str, list[tuple[float, str]]] = {}
    for step in facts.look.select.recipe.steps:
        name = facts.look.names.get(step.score() or "", "")
        fitted = found.summary["fitted"].get(step.label, {})
        for bound in (fitted.get("threshold"), fitted.get("threshold_of_dropped")):
            if name and isinstance(bound, float):
                marks.setdefault(name, []).append((bound, f"{bound:.4g}"))
    return marks


def _columns(found: Found, facts: ReportFacts) -> tuple[column_charts.ColumnChart, ...]:
    made = [name for step in facts.look.select.recipe.steps for name in step.makes()]
    read = [*facts.look.names.values(), *made]
    return column_charts.column_charts(found.seen, found.detail.histograms, read, _bounds(found, facts))


def _ladder(
    name: str, found: Found, facts: ReportFacts, shown: Mapping[Kind, tuple[Thumbnail, ...]]
) -> threshold_panel.Ladder | None:
    edges, along = (axes.edges(found.seen, name, bins) for bins in (axes.RUNGS, axes.BINS))
    if edges is None or along is None or name not in found.detail.rungs or name not in found.detail.histograms:
        return None
    counts = found.detail.histograms[name]
    if not counts[:, 0].any():
        return None
    marks = [(at, f"threshold {at:.4f}") for at, _ in _bounds(found, facts).get(name, ())[-1:]]
    chart = charts.histogram(along, counts[:, 0], counts[:, 1], marks)
    pictures = {int(kind[2]): some for kind, some in shown.items() if kind[:2] == ("rung", name)}
    return threshold_panel.ladder(name, edges, found.detail.rungs[name], chart, pictures)


def _panels(
    found: Found, facts: ReportFacts, shown: Mapping[Kind, tuple[Thumbnail, ...]]
) -> tuple[threshold_panel.Panel, ...]:
    """Returns a panel for each bound that can be moved; where there is none, one for the score."""
    panels: list[threshold_panel.Panel] = []
    labels = [step.label for step in facts.look.select.recipe.steps]
    for bound in facts.look.bounds:
        ladder = _ladder(facts.look.names[bound.column], found, facts, shown)
        if ladder is None:
            continue
        of, fitted = found.seen.of.get(bound.label, 0), found.summary["fitted"].get(bound.label, {})
        ends = ladder.chart.low, ladder.chart.high
        counts = found.seen.bounds[bound.label]
        data = threshold_panel.panel_data(
            bound, counts, of, fitted, found.books.kept, found.books.samples, facts.chosen, ends
        )
        remark = threshold_panel.remark(bound, of, fitted, labels[bound.number + 1 :])
        panels.append(threshold_panel.Panel(f"panel-{len(panels)}", bound.label, ladder, data, remark))
    if not panels:
        why = "No step of this recipe has a bound on one column that can be moved here."
        ladders = (_ladder(name, found, facts, shown) for name in facts.look.ladders)
        panels = [threshold_panel.Panel("panel-0", one.column, one, None, why) for one in ladders if one]
    return tuple(panels)
