"""Repeated uids: kept samples that share their uid with others, counted exactly from the sorted list of kept uids.

``subset.npy`` holds each uid as often as there are copies, so the number of different uids is read from it. Where there
are as many as kept samples, none is repeated, and no shard is looked at again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import NamedTuple

import apache_beam as beam
import numpy as np

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.recipes.accounts import Books, Repeated
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.lib.subsets import subset_files, uid_lists
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import FileRow
from transforms.storage import filesystem

FIRST_UIDS = "repeated_uid"
"""Column set that marks all samples of a uid but the first, and label of the step that drops these."""

_PIECE = 1 << 24


class Kept(NamedTuple):
    """Samples that were kept, and how many different uids they have."""

    samples: int
    uids: int


def count_different(uri: str) -> int:
    """Returns how many different uids a sorted subset file has; 16 MiB of it are in memory."""
    different = 0
    last = np.zeros(0, uids.SUBSET_DTYPE)
    with filesystem.open_read(uri) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        file.seek(uids.subset_layout(file.read(1 << 16), size)[1])
        while piece := file.read(_PIECE):
            rows = np.frombuffer(piece, uids.SUBSET_DTYPE)
            different += uid_lists.distinct(np.concatenate([last, rows])) - len(last)
            last = rows[-1:]
    return different


@dataclasses.dataclass(frozen=True)
class CountRepeated:
    """Returns samples and copies of a shard whose uid another kept sample has too.

    Attributes:
      store: of the selection.
      subset: path of its ``subset.npy`` below the output folder.
    """

    store: Store
    subset: str

    def __call__(self, shard: DecidedShard, kept: Kept) -> tuple[int, int]:
        if kept.samples == kept.uids:
            return 0, 0
        store = self.store
        copies = store.read(DECISIONS, shard.name, ["copies"])["copies"].to_numpy().astype(np.int64)
        pairs = columns.uid_pairs(store.read(columns.INDEX, shard.name, ["uid"])["uid"])
        rows = np.flatnonzero(copies)
        listed = subset_files.open_subset(filesystem.fetch(filesystem.join(store.root, self.subset)))
        shared = rows[subset_files.multiplicity(listed, pairs[rows]) > copies[rows]]
        return len(shared), int(copies[shared].sum())


def kept_of(books: Books, subset: FileRow, root: str) -> Kept:
    """Returns the samples that were kept and their different uids, from the books and the sorted list."""
    return Kept(books.kept, count_different(filesystem.join(root, subset.path)))


class AddCounts(beam.CombineFn):
    """Adds pairs of numbers."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, total: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
        return total[0] + more[0], total[1] + more[1]

    def merge_accumulators(self, totals: Iterable[tuple[int, int]]) -> tuple[int, int]:
        one, two = zip(*[(0, 0), *totals], strict=True)
        return sum(one), sum(two)

    def extract_output(self, total: tuple[int, int]) -> tuple[int, int]:
        return total


def repeated(shared: tuple[int, int], kept: Kept) -> Repeated:
    """Returns the counts of the pool: the uids that are left once those of samples without a double are taken away."""
    samples, copies = shared
    return Repeated(kept.uids - (kept.samples - samples), samples, copies)
