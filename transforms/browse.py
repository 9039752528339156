"""Look through the samples of an output: filter, sort, show a page of them, and list their uids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.conditions import Condition, all_hold
from transforms.lib.errors import ConfigError
from transforms.lib.report.exhibit import Exhibit
from transforms.outputs.samples import Samples
from transforms.reporting.thumbnails import thumbnails

PAGE = 48
"""Samples of a page."""
MOST = 4800
"""Samples that can be looked through in one order; narrower conditions show the rest."""

Find = Callable[[Sequence[str], Sequence[str] | None], Samples]
"""Names of columns, and of shards or None for all -> the samples."""


class Query(NamedTuple):
    """What to look for.

    Attributes:
      conditions: that all hold.
      sort: column to sort by; empty for the order of the pool.
      descending: largest first.
      start: samples to leave out before the page.
    """

    conditions: tuple[Condition, ...] = ()
    sort: str = ""
    descending: bool = True
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Browser:
    """Reads the samples of an output, a shard at a time.

    Attributes:
      find: finds columns.
      schema: of all columns.
      root: the output folder.
    """

    find: Find
    schema: pa.Schema
    root: str

    def check(self, query: Query) -> None:
        """Checks a query.

        Raises:
          ConfigError: all that is wrong with it.
        """
        problems: list[str] = []
        for condition in query.conditions:
            try:
                condition.check(self.schema)
            except ConfigError as error:
                problems += error.problems
        if query.sort and query.sort not in self.schema.names:
            problems.append(f"there is no column {query.sort!r} to sort by; choose one of the list")
        if not 0 <= query.start < MOST:
            problems.append(f"only the first {MOST:,} samples are shown in one order; add a condition")
        if problems:
            raise ConfigError(problems)

    def page(self, query: Query) -> tuple[int, list[tuple[str, int]]]:
        """Returns how many samples are found, and (shard, row) of those of the page."""
        names = list(dict.fromkeys([*(one.column for one in query.conditions), *filter(None, [query.sort]), "status"]))
        samples, wanted = self.find(names, None), query.start + PAGE
        total = 0
        best: list[Any] = []
        for number, (ref, table) in enumerate(zip(samples.refs, samples.tables(), strict=True)):
            rows = np.flatnonzero(all_hold(query.conditions, table))
            total += len(rows)
            if not query.sort:
                best += [(None, number, row, ref.name) for row in rows[: max(0, wanted - len(best))].tolist()]
                continue
            order = _order(table[query.sort].take(rows), query.descending)[:wanted]
            keys = table[query.sort].take(rows[order]).to_pylist()
            best += [(key, number, row, ref.name) for key, row in zip(keys, rows[order].tolist(), strict=True)]
            best = _first(best, query.descending, wanted)
        return total, [(shard, row) for _, _, row, shard in best[query.start : wanted]]

    def rows(self, places: Sequence[tuple[str, int]], names: Sequence[str]) -> list[dict[str, Any]]:
        """Returns columns of samples at (shard, row), in their order."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for shard in dict.fromkeys(shard for shard, _ in places):
            numbers = [row for one, row in places if one == shard]
            (table,) = self.find(names, [shard]).tables()
            found |= dict(zip([(shard, row) for row in numbers], table.take(numbers).to_pylist(), strict=True))
        return [found[place] for place in places]

    def uids(self, query: Query) -> np.ndarray:
        """Returns the uids of all samples that are found, as a sorted subset, each once; 16 bytes of memory each."""
        names = list(dict.fromkeys([*(one.column for one in query.conditions), "uid"]))
        parts = [np.zeros((0, 2), np.uint64)]
        for table in self.find(names, None).tables():
            held = all_hold(query.conditions, table)
            parts.append(columns.to_numpy("uid", table["uid"])[held])
        rows: np.ndarray = uids.subset(np.unique(np.concatenate(parts), axis=0))
        named: np.ndarray = rows[(rows["f0"] != 0) | (rows["f1"] != 0)]
        return named

    def picture(self, shard: int, row: int) -> bytes:
        """Returns a small JPEG of a sample, read by its byte range; empty where there is none.

        Args:
          shard: number in the order of the pool.
          row: in that shard.
        """
        ref = self.find(["uid"], None).refs[shard]
        return thumbnails([Exhibit(0.0, "", ref.name, row, ref.uri, 0.0, 0.0, "")], self.root)[0].jpeg


def _order(values: pa.ChunkedArray, descending: bool) -> np.ndarray:
    indices = pa.compute.sort_indices(values, sort_keys=[("", "descending" if descending else "ascending")])
    return np.asarray(indices.to_numpy())


def _first(rows: list[Any], descending: bool, wanted: int) -> list[Any]:
    """Returns the first of sorted rows: those without a value, or with NaN, last, and equal ones in pool order."""
    there = [row for row in rows if row[0] is not None and row[0] == row[0]]
    lacking = [row for row in rows if row[0] is None or row[0] != row[0]]
    there.sort(key=lambda row: row[1:3])
    there.sort(key=lambda row: row[0], reverse=descending)
    return [*there, *lacking][:wanted]
