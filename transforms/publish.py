"""Publish a crawl: measure it against the latest one, list what it changes, and let it pass the gate or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib import uids
from transforms.lib.errors import AccountsError, GateError, InputError
from transforms.lib.stats import sorted_keys
from transforms.lib.stats.crawl_summary import SummaryView
from transforms.lib.subsets import subset_files, uid_lists
from transforms.lib.subsets.subset_files import UidRecords
from transforms.outputs import crawls, file_rows, selections
from transforms.outputs.json_files import Document
from transforms.outputs.uid_lists import write as write_uids
from transforms.rows import FileRow
from transforms.storage import filesystem

_WAYS = ("added", "removed", "unchanged")


@dataclasses.dataclass(frozen=True)
class Gate:
    """When a crawl becomes the latest.

    Attributes:
      low: of the share kept of all samples, at least this.
      high: of the share kept of all samples, at most this.
      drift: of the Kolmogorov-Smirnov distance of the scores to those of the latest crawl, at most this; None for any.
      allow_older: whether a crawl may follow one whose id sorts after its own.
    """

    low: float = 0.0
    high: float = 1.0
    drift: float | None = None
    allow_older: bool = False


@dataclasses.dataclass(frozen=True)
class PublishSettings:
    """Everything it takes to publish a crawl.

    Attributes:
      root: the crawl's folder.
      gate: what it must pass.
      compare_with: id of the crawl it is measured against, ``none``, or empty for the latest.
    """

    root: str
    gate: Gate
    compare_with: str = ""


def drift(root: str, other: str) -> float | None:
    """Returns the Kolmogorov-Smirnov distance of the scores of two crawls; None where they cannot be compared.

    Scores are those of all samples that were not rejected, whatever any step dropped.
    """
    if crawls.read(root).get("score") != crawls.read(other).get("score"):
        return None
    with crawls.opened(crawls.summaries(root)) as own, crawls.opened(crawls.summaries(other)) as theirs:
        sides = [[SummaryView(one, crawls.SCORE) for one in side] for side in (own, theirs)]
        if not all(any(len(one.whole("counts")) for one in side) for side in sides):
            return None
        return sorted_keys.distance(*sides)


def changes(before: UidRecords, after: UidRecords, way: str) -> Iterator[UidRecords]:
    """Yields the uids ``added``, ``removed`` or ``unchanged`` from one sorted subset to another, sorted."""
    for old, new in zip(uid_lists.ranges(before), uid_lists.ranges(after), strict=True):
        if way == "added":
            yield uid_lists.joined(new, subtract=[old])
        elif way == "removed":
            yield uid_lists.joined(old, subtract=[new])
        else:
            yield uid_lists.joined(new, intersect=[old])


def diff(root: str, other: str) -> tuple[dict[str, int], list[FileRow]]:
    """Writes ``diff/added.npy``, ``removed.npy`` and ``unchanged.npy``: uids kept by a crawl and by the one before it.

    Args:
      root: the crawl's folder.
      other: that of the one before; empty when there is none, and all is added.

    Returns:
      (how many of each, the files).
    """
    after = subset_files.open_subset(filesystem.fetch(filesystem.join(root, crawls.SUBSET)))
    before = np.zeros(0, uids.SUBSET_DTYPE)
    if other:
        before = subset_files.open_subset(filesystem.fetch(filesystem.join(other, crawls.SUBSET)))
    counts, rows = {}, []
    for way in _WAYS:
        path = f"diff/{way}.npy"
        counts[way] = write_uids(changes(before, after, way), filesystem.join(root, path))["written"]
        rows.append(file_rows.of_stored(root, path))
    return counts, rows


def refusals(gate: Gate, retention: float, distance: float | None, against: str) -> list[str]:
    """Returns why a crawl does not pass; nothing when it does.

    Args:
      gate: what it must pass.
      retention: share kept of all samples.
      distance: of its scores to those of ``against``; None where they cannot be compared.
      against: id of the latest crawl; empty when there is none, and any distance passes.
    """
    reasons = []
    if not gate.low <= retention <= gate.high:
        bounds = f"{100 * gate.low:g} to {100 * gate.high:g} %"
        reasons.append(f"it keeps {100 * retention:.4g} % of its samples, outside {bounds}")
    if gate.drift is not None and against and distance is None:
        reasons.append(f"its scores are of another column or network than those of {against}, so drift has no meaning")
    if gate.drift is not None and distance is not None and distance > gate.drift:
        reasons.append(f"its scores drifted by {distance:.4g} from those of {against}, more than {gate.drift:g}")
    return reasons


def _checked(root: str) -> dict[str, Any]:
    """Returns the books of a crawl.

    Raises:
      AccountsError: they did not close, or something else is not finished.
    """
    try:
        return selections.find(root).read("books.json")
    except InputError as error:
        raise AccountsError(f"{root} cannot be published: {error}") from None


class Comparison(NamedTuple):
    """What a crawl is beside the one before.

    Attributes:
      against: id of that one; empty when there is none.
      retention: share kept of all samples.
      drift: Kolmogorov-Smirnov distance of the scores; None where they cannot be compared.
      diff: way -> how many uids.
      files: the lists of them.
      kept: samples kept.
      samples: all samples.
    """

    against: str
    retention: float
    drift: float | None
    diff: dict[str, int]
    files: tuple[FileRow, ...]
    kept: int
    samples: int


def compare(output: str, compare_with: str = "") -> Comparison:
    """Compares a crawl with the one named, or with the latest, or when it is that, with the latest before.

    Called again it finds the same and writes the same files.

    Raises:
      AccountsError: its books did not close.
      InputError: what it is compared with is gone.
    """
    root, _ = crawls.split(output)
    against = crawls.predecessor(output, compare_with)
    other = crawls.folder(root, against) if against else ""
    books = _checked(output)
    kept, samples = books["kept"], books["samples"]
    distance = drift(output, other) if other else None
    counts, files = diff(output, other)
    return Comparison(against, kept / max(1, samples), distance, counts, tuple(files), kept, samples)


def conclude(compared: Comparison, settings: PublishSettings) -> Document:
    """Completes a crawl: writes ``crawl.json``, and moves ``latest.json`` when it passes the gate.

    Returns:
      what ``crawl.json`` has.

    Raises:
      GateError: it did not pass; all of its files are there, and ``latest.json`` is as it was.
    """
    root, crawl = crawls.split(settings.root)
    latest = crawls.latest(root).get("crawl_id", "")
    refused = refusals(settings.gate, compared.retention, compared.drift, compared.against)
    gate = {**dataclasses.asdict(settings.gate), "passed": not refused, "refused": refused}
    measured = {name: getattr(compared, name) for name in ("against", "retention", "drift", "diff")}
    document = {**crawls.read(settings.root), **measured, "gate": gate, "complete": True}
    crawls.write(settings.root, document)
    if refused:
        why = "; ".join(refused)
        raise GateError(f"crawl {crawl} did not pass its gate: {why}; the latest is {latest or 'none'} as before")
    named = {"kept": compared.kept, "samples": compared.samples, "previous": compared.against}
    record = {"crawl_id": crawl, "path": f"crawls/{crawl}", **named}
    crawls.move_latest(root, record, allow_older=settings.gate.allow_older)
    return document


def sentence(root: str) -> str:
    """Returns two lines for people about a crawl that was published."""
    crawl = crawls.read(root)
    counts = ", ".join(f"{crawl['diff'][way]:,} {way}" for way in _WAYS)
    since = f" since {crawl['against']}" if crawl["against"] else ""
    drifted = "" if crawl["drift"] is None else f"; scores drifted by {crawl['drift']:.4g}"
    latest = crawls.latest(crawls.split(root)[0]).get("crawl_id", "none")
    return f"crawl {crawl['crawl_id']}: {counts}{since}{drifted}\nlatest: {latest}"


@dataclasses.dataclass(eq=False)
class CompareCrawl(beam.PTransform):
    """Compares a crawl with the latest once all else is written: one element in, one ``Comparison`` out.

    Cost: one worker reads the lists of uids of two crawls, 16 bytes per kept copy, a 256th of them at a time, and of
    their scores the bins in which they may differ most.

    Attributes:
      settings: where, and against which crawl.
    """

    settings: PublishSettings

    def expand(self, finished: beam.PCollection[None]) -> beam.PCollection[Comparison]:
        return finished | "Compare" >> beam.Map(lambda _, to: compare(to.root, to.compare_with), self.settings)


@dataclasses.dataclass(eq=False)
class PassGate(beam.PTransform):
    """Lets a crawl become the latest, or fails: one element in once the manifest is written, its document out.

    Attributes:
      settings: where, and what it must pass.
      compared: singleton, its ``Comparison``.
    """

    settings: PublishSettings
    compared: beam.PCollection[Comparison]

    def expand(self, recorded: beam.PCollection[None]) -> beam.PCollection[Document]:
        compared = AsSingleton(self.compared)
        return recorded | "Gate" >> beam.Map(lambda _, one, to: conclude(one, to), compared, self.settings)
