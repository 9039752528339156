"""The report: one self-contained HTML page, the same bytes for the same selection."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from transforms.lib.report import charts, cluster_page, page
from transforms.lib.report.column_charts import ColumnChart, Grid
from transforms.lib.report.quality import DuplicateSet, Measure, Share
from transforms.lib.report.threshold_panel import Panel
from transforms.lib.report.thumbnail import Thumbnail


class StepRow(NamedTuple):
    """What one step did.

    Attributes:
      label, sentence: of the step.
      reached: samples that earlier steps left.
      dropped: samples that it dropped.
      drawn: pictures of some of them.
      nearest: pictures of those that it dropped by the smallest margin.
    """

    label: str
    sentence: str
    reached: int
    dropped: int
    drawn: tuple[Thumbnail, ...] = ()
    nearest: tuple[Thumbnail, ...] = ()


class Rejected(NamedTuple):
    """Samples that could not be processed: why, how many, and some of them."""

    reason: str
    samples: int
    thumbnails: tuple[Thumbnail, ...] = ()


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything the report says.

    Attributes:
      title: of the page.
      depth: folders between the output folder and the page.
      pool: the input, as the user wrote it.
      recipe: its name.
      samples: in the pool; kept + dropped + rejected.
      kept: samples with at least one copy.
      copies: in the output.
      steps: in the order of the recipe.
      rejected: by reason.
      notices: sentences on samples that are odd and were not rejected for it.
      shards_in: shards of the pool.
      bytes_in: bytes of the pool.
      panels: ladders of pictures, with the bounds that can be moved along them.
      columns: histograms before and after.
      grids: columns against one another.
      kept_thumbnails: drawn among the kept.
      borderline_thumbnails: the closest to the bound that decided them.
      duplicates: what column sets say of duplicates.
      copies_chart: samples by copies; None where none has more than one.
      clusters: the section of clusters, None for a pool without any.
      measures: charts of sizes, shapes and captions.
      shares: tables of formats, languages and hosts.
      command: that made the selection.
      settings: name and value of the configuration.
      stamps: name and value.
      networks: column set and the network that made it.
      times: name and value of what the clock says, where the user wants it.
      stale: a sentence about shards of another selection; empty where there are none.
      left_out: pictures that were left out, so that the page stays small.
    """

    title: str
    depth: int
    pool: str
    recipe: str
    samples: int
    kept: int
    copies: int
    steps: tuple[StepRow, ...]
    rejected: tuple[Rejected, ...]
    notices: tuple[str, ...]
    shards_in: int
    bytes_in: int
    panels: tuple[Panel, ...]
    columns: tuple[ColumnChart, ...]
    grids: tuple[Grid, ...]
    kept_thumbnails: tuple[Thumbnail, ...]
    borderline_thumbnails: tuple[Thumbnail, ...]
    duplicates: tuple[DuplicateSet, ...]
    copies_chart: charts.Chart | None
    clusters: cluster_page.ClusterSection | None
    measures: tuple[Measure, ...]
    shares: tuple[Share, ...]
    command: str
    settings: tuple[tuple[str, str], ...]
    stamps: tuple[tuple[str, str], ...]
    networks: tuple[tuple[str, str], ...] = ()
    times: tuple[tuple[str, str], ...] = ()
    stale: str = ""
    left_out: int = 0

    @property
    def num_dropped(self) -> int:
        """Samples that a step dropped."""
        return sum(step.dropped for step in self.steps)

    @property
    def num_rejected(self) -> int:
        """Samples that could not be processed."""
        return sum(row.samples for row in self.rejected)


def _sections(data: ReportData) -> list[tuple[str, str]]:
    """Returns (id, name) of the sections that the page has."""
    found = [
        ("overview", "Overview", True),
        ("threshold", "Threshold", data.panels),
        ("columns", "Columns", data.columns),
        ("steps", "Steps", True),
        ("samples", "Kept", data.kept_thumbnails or data.borderline_thumbnails),
        ("rejected", "Rejected", data.rejected),
        ("duplicates", "Duplicates", data.duplicates),
        ("clusters", "Clusters", data.clusters),
        ("quality", "Quality", data.measures or data.shares),
        ("run", "Run", True),
    ]
    return [(id_, name) for id_, name, there in found if there]


def render(data: ReportData) -> str:
    """Returns the page."""
    return page.render(
        "report.html.j2",
        data.title,
        _sections(data),
        scripts=["threshold.js"] if any(panel.data for panel in data.panels) else (),
        explain=("winnow explain ", " --output OUT"),
        depth=data.depth,
        data=data,
        clusters=data.clusters,
        rounds_width=cluster_page.ROUNDS_WIDTH,
        rounds_height=cluster_page.ROUNDS_HEIGHT,
    )
