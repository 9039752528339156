"""Write the report: what was kept, what was dropped and why, with pictures of both and of the closest calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms import storage
from transforms.lib import accounts, columns, images, reporting, stamps
from transforms.lib.errors import SampleError
from transforms.lib.ranges import read_ranges
from transforms.lib.tarshard import read_samples
from transforms.lib.tarstream import open_tar
from transforms.rows import FileRow
from transforms.store import Store


@dataclasses.dataclass(frozen=True)
class ReportFacts:
    """What the report says that the books do not.

    Attributes:
      root: the output folder.
      pool: the input patterns, as the user wrote them.
      recipe: its name.
      steps: (label, sentence) of each step.
      score: the column that histogram and thumbnails show; empty for none.
      score_steps: labels of the steps that read it; the highest of their thresholds is drawn.
      settings: name -> value of the resolved configuration.
      stamps: name -> stamp.
    """

    root: str
    pool: str
    recipe: str
    steps: tuple[tuple[str, str], ...]
    score: str
    score_steps: tuple[str, ...]
    settings: Mapping[str, str]
    stamps: Mapping[str, str]


def thumbnails(exhibits: Sequence[accounts.Exhibit], root: str) -> tuple[reporting.Thumbnail, ...]:
    """Looks exhibits up in the index below ``root``, and reads and shrinks their images.

    One that cannot be shown, whose tar is gone or never was, has an empty image.
    """
    captions: dict[int, str] = {}
    jpegs: dict[int, bytes] = {}
    for shard, uri in sorted({(exhibit.shard, exhibit.uri) for exhibit in exhibits}):
        numbers = [number for number, exhibit in enumerate(exhibits) if exhibit.shard == shard]
        rows = [exhibits[number].row for number in numbers]
        facts = Store(root).rows(columns.INDEX, shard, ["caption", "offset", "length"], rows)
        captions.update(zip(numbers, [fact["caption"] for fact in facts], strict=True))
        if any(fact["length"] for fact in facts) and storage.exists(uri):
            with storage.open_ranges(uri) as file:
                spans = [fact["offset"] for fact in facts], [fact["length"] for fact in facts]
                blocks = read_ranges(open_tar(file, uri), *spans)
            jpegs.update(zip(numbers, map(_thumbnail, blocks), strict=True))
    return tuple(
        reporting.Thumbnail(
            uid=exhibit.uid,
            caption=captions[number],
            score=exhibit.score,
            margin=exhibit.margin,
            kept=exhibit.step == "",
            step=exhibit.step,
            jpeg=jpegs.get(number, b""),
        )
        for number, exhibit in enumerate(exhibits)
    )


def _thumbnail(block: bytes) -> bytes:
    import io

    try:
        sample = next(iter(read_samples(io.BytesIO(block))))
        return images.thumbnail(images.image_of(sample.members)[1])
    except SampleError:
        return b""


def write_report(
    books: accounts.Books,
    fitted: Mapping[str, Mapping[str, Any]],
    facts: ReportFacts,
) -> FileRow:
    """Renders and writes ``report.html``.

    Args:
      books: of the pool, closed.
      fitted: step label -> what was fitted.
      facts: everything else.
    """
    bounds = [fitted[label].get("threshold") for label in facts.score_steps]
    thresholds = [bound for bound in bounds if isinstance(bound, float)]
    data = reporting.ReportData(
        title=f"Winnow: {facts.recipe}",
        pool=facts.pool,
        recipe=facts.recipe,
        sentences=tuple(f"{label}: {sentence}" for label, sentence in facts.steps),
        samples=books.samples,
        kept=books.kept,
        copies=books.copies,
        dropped=tuple((label, books.dropped.get(label, 0)) for label, _ in facts.steps),
        rejected=tuple(sorted(books.rejected.items())),
        shards_in=books.shards,
        bytes_in=books.size_bytes,
        score_column=facts.score,
        histogram=books.histogram,
        histogram_kept=books.histogram_kept,
        threshold=max(thresholds, default=None),
        kept_thumbnails=thumbnails(books.exhibits.get("kept", ()), facts.root),
        dropped_thumbnails=thumbnails(books.exhibits.get("dropped", ()), facts.root),
        borderline_thumbnails=thumbnails(books.exhibits.get("borderline", ()), facts.root),
        settings=tuple(sorted(facts.settings.items())),
        stamps=tuple(sorted(facts.stamps.items())),
    )
    page = reporting.render(data).encode()
    storage.write_atomic(storage.join(facts.root, "report.html"), page)
    return FileRow("report.html", len(page), stamps.sha256(page))


@dataclasses.dataclass(eq=False)
class WriteReport(beam.PTransform):
    """Writes ``report.html``: the pool's closed books in (one element), its ``FileRow`` out.

    Cost: one worker reads the byte ranges of at most 36 samples.

    Attributes:
      facts: what the books do not say.
      summary: singleton, the content of ``books.json``.
    """

    facts: ReportFacts
    summary: beam.PCollection[dict[str, Any]]

    def expand(self, books: beam.PCollection[accounts.Books]) -> beam.PCollection[FileRow]:
        fitted = self.summary | "Fitted" >> beam.Map(lambda summary: summary["fitted"])
        return books | "Write" >> beam.Map(write_report, AsSingleton(fitted), self.facts)
