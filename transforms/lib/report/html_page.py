"""The report: one self-contained HTML page, the same bytes for the same run."""

from __future__ import annotations

import dataclasses
import shlex

import numpy as np

from transforms.lib.arrays import Int64
from transforms.lib.report import charts, cluster_page, page
from transforms.lib.report.thumbnail import Thumbnail


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything the report says.

    Attributes:
      title: of the page.
      output: the output folder, as the user wrote it.
      pool: the input, as the user wrote it.
      recipe: its name.
      sentences: what each step does.
      samples: in the pool; kept + dropped + rejected.
      kept: samples with at least one copy.
      copies: in the output.
      dropped: (step, samples).
      rejected: (reason, samples).
      notices: sentences on samples that are odd and were not rejected for it.
      shards_in: shards of the pool.
      bytes_in: bytes of the pool.
      score_column: what histogram and thumbnails show; empty for none.
      histogram: int64 ``[bins]`` over [-1, 1], all valid samples.
      histogram_kept: int64 ``[bins]``, the kept ones.
      threshold: lowest kept score, None when the recipe has none.
      kept_thumbnails: drawn among the kept.
      dropped_thumbnails: drawn among the dropped.
      borderline_thumbnails: the closest to the bound that decided them.
      clusters: the section of clusters, None for a pool without any.
      settings: name and value of the configuration.
      stamps: name and value.
      stale: a sentence about shards of another selection; empty where there are none.
    """

    title: str
    output: str
    pool: str
    recipe: str
    sentences: tuple[str, ...]
    samples: int
    kept: int
    copies: int
    dropped: tuple[tuple[str, int], ...]
    rejected: tuple[tuple[str, int], ...]
    notices: tuple[str, ...]
    shards_in: int
    bytes_in: int
    score_column: str
    histogram: Int64
    histogram_kept: Int64
    threshold: float | None
    kept_thumbnails: tuple[Thumbnail, ...]
    dropped_thumbnails: tuple[Thumbnail, ...]
    borderline_thumbnails: tuple[Thumbnail, ...]
    clusters: cluster_page.ClusterSection | None
    settings: tuple[tuple[str, str], ...]
    stamps: tuple[tuple[str, str], ...]
    stale: str = ""


def chart(histogram: Int64, kept: Int64, threshold: float | None) -> charts.Chart | None:
    """Lays the histogram out over the range of scores that has any; None when there is no score.

    Args:
      histogram: int64 ``[bins]`` over [-1, 1].
      kept: int64 ``[bins]``, at most ``histogram``.
      threshold: marked when it is finite.
    """
    filled = np.flatnonzero(histogram)
    if not len(filled):
        return None
    edges = np.linspace(-1, 1, len(histogram) + 1)
    first, last = max(int(filled[0]) - 1, 0), min(int(filled[-1]) + 1, len(histogram) - 1)
    marks = [(threshold, f"threshold {threshold:.4f}")] if threshold is not None else []
    return charts.histogram(edges[first : last + 2], histogram[first : last + 1], kept[first : last + 1], marks)


def render(data: ReportData) -> str:
    """Returns the page."""
    dropped, rejected = (sum(count for _, count in rows) for rows in (data.dropped, data.rejected))
    among = (
        ("kept", "Kept", "drawn among the kept samples", data.kept_thumbnails),
        ("borderline", "Borderline", "the closest to the bound that decided them", data.borderline_thumbnails),
        ("dropped", "Dropped", "drawn among the dropped samples", data.dropped_thumbnails),
    )
    galleries = [one for one in among if one[3]]
    sections = [("overview", "Overview"), ("scores", "Scores"), ("not-kept", "Not kept")]
    sections += [("clusters", "Clusters")] if data.clusters else []
    sections += [(id_, name) for id_, name, _, _ in galleries]
    return page.render(
        "report.html.j2",
        data.title,
        [*sections, ("run", "Run")],
        explain=("winnow explain ", f" --output {shlex.quote(data.output)}"),
        data=data,
        num_dropped=dropped,
        num_rejected=rejected,
        chart=chart(data.histogram, data.histogram_kept, data.threshold),
        galleries=galleries,
        rounds_width=cluster_page.ROUNDS_WIDTH,
        rounds_height=cluster_page.ROUNDS_HEIGHT,
    )
