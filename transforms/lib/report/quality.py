"""What images and captions of a pool are like, as the report shows it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from transforms.lib.report import charts, sparse_counts
from transforms.lib.report.survey import BITS, DRAWN, Survey
from transforms.lib.report.thumbnail import Thumbnail

AREA, ASPECT, CAPTION = "image pixels", "width / height", "caption characters"
"""Names under which a survey counts what it measured of images and captions."""

_SHOWN = 15  # hosts and languages
_BARS = 30
_SCALES = {AREA: "megapixels", ASPECT: "width / height", CAPTION: "characters of captions"}


class Measure(NamedTuple):
    """A chart of something measured: its title, all samples and the kept ones."""

    title: str
    chart: charts.Chart


class Share(NamedTuple):
    """A table of names: each with samples, kept ones, and their shares in percent, of those looked at."""

    title: str
    rows: tuple[tuple[str, int, int], ...]
    remark: str


class Group(NamedTuple):
    """A group of duplicates, the survivor first."""

    uid: str
    thumbnails: tuple[Thumbnail, ...]


class DuplicateSet(NamedTuple):
    """What a column set says of duplicates: how many copies there are, how many of them are kept, and some groups."""

    name: str
    copies: int
    kept: int
    groups: int
    shown: tuple[Group, ...]


def measures(survey: Survey) -> tuple[Measure, ...]:
    """Returns the charts of image sizes, shapes and caption lengths; bars are equally wide on a logarithmic scale."""
    found = []
    for name, title in _SCALES.items():
        counts = survey.columns.get(name)
        if counts is None or not counts.counts[:, 0].any():
            continue
        values = sparse_counts.lower_edges(counts.keys, BITS).astype(np.float64) * (1e-6 if name == AREA else 1)
        found.append(Measure(title, _logarithmic(np.maximum(values, 1 if name == CAPTION else 1e-9), counts.counts)))
    return tuple(found)


def _logarithmic(values: np.ndarray, counts: np.ndarray) -> charts.Chart:
    exponents = np.log2(values)
    low, high = math.floor(exponents.min() * 2) / 2, math.ceil((exponents.max() + 1e-6) * 2) / 2
    limits = charts.linear_bins(low, high, _BARS)
    place = np.clip(np.searchsorted(limits, exponents, side="right") - 1, 0, _BARS - 1)
    total, kept = (np.bincount(place, counts[:, kind], _BARS).astype(np.int64) for kind in (0, 1))
    drawn = charts.histogram(limits, total, kept)
    span = limits[-1] - limits[0]
    every = max(1, math.ceil(span / 7))
    marks = [n for n in range(math.ceil(limits[0]), math.floor(limits[-1]) + 1) if n % every == 0]
    along = tuple(charts.tick(100 * (n - limits[0]) / span, f"{2.0**n:.3g}") for n in marks)
    bars, index = [], np.flatnonzero(total)
    for bar, at in zip(drawn.bars, index.tolist(), strict=True):
        words = f"{2 ** limits[at]:.3g} to {2 ** limits[at + 1]:.3g}: {total[at]:,} samples, {kept[at]:,} kept"
        bars.append(bar._replace(label=words))
    return drawn._replace(bars=tuple(bars), along=along)


def shares(survey: Survey) -> tuple[Share, ...]:
    """Returns the tables of formats, languages and hosts."""
    formats = [(name or "unknown", total, kept) for name, (total, kept) in survey.formats.items()]
    tables = [Share("Image formats", tuple(sorted(formats, key=lambda row: (-row[1], row[0]))[:_SHOWN]), "")]
    remark = f"of {len(survey.drawn):,} samples, drawn by their uids" if len(survey.drawn) >= DRAWN else ""
    for title, field in (("Languages of captions", "language"), ("Hosts of images", "host")):
        rows = _counted((getattr(one, field), one.kept) for one in survey.drawn)
        if any(name for name, _, _ in rows):
            named = tuple((name or "unknown", total, kept) for name, total, kept in rows[:_SHOWN])
            tables.append(Share(title, named, remark))
    return tuple(table for table in tables if table.rows)


def _counted(named: Iterable[tuple[str, bool]]) -> list[tuple[str, int, int]]:
    total: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for name, is_kept in named:
        total[name] += 1
        kept[name] += is_kept
    return sorted(((name, total[name], kept[name]) for name in total), key=lambda row: (-row[1], row[0]))


def copies_chart(survey: Survey) -> charts.Chart | None:
    """Returns how many samples have so many copies; None where none has more than one."""
    pairs = [(int(key), int(row[0])) for key, row in zip(survey.copies.keys, survey.copies.counts, strict=True)]
    if not pairs or pairs[-1][0] <= 1:
        return None
    if len(pairs) <= 24:
        return charts.named([(f"{copies}×", samples, samples) for copies, samples in pairs])
    grouped: Counter[int] = Counter()
    for copies, samples in pairs:
        grouped[copies.bit_length() - 1] += samples
    rows = [(f"{1 << power}–{(2 << power) - 1}×", grouped[power], grouped[power]) for power in sorted(grouped)]
    return charts.named(rows)


def duplicate_sets(survey: Survey, shown: Mapping[tuple[str, str], tuple[Thumbnail, ...]]) -> tuple[DuplicateSet, ...]:
    """Returns what each column set says of duplicates, with the pictures of (column set, group)."""
    return tuple(
        DuplicateSet(
            name,
            *counts,
            tuple(Group(one.uid, shown[name, one.uid]) for one in survey.groups[name] if (name, one.uid) in shown),
        )
        for name, counts in survey.duplicates.items()
    )
