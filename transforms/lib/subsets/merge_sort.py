"""Sorted runs of uids, merged block by block: a sort whose memory does not grow with what it sorts.

It is ours because ``heapq.merge`` yields one row at a time as a Python object, and numpy and pyarrow sort in memory.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from transforms.lib import uids
from transforms.lib.subsets.subset_files import UidRecords


def encode(rows: UidRecords) -> bytes:
    """Returns the bytes of a run: ``uids.SUBSET_DTYPE`` ``[n]``, sorted, 16 bytes per row and no header."""
    return np.ascontiguousarray(rows).tobytes()


def blocks(file: BinaryIO, count: int, rows: int) -> Iterator[UidRecords]:
    """Reads a run.

    Args:
      file: open for reading, at its first row.
      count: rows it has.
      rows: of a block, at least 1.

    Yields:
      ``uids.SUBSET_DTYPE`` ``[rows]``, the last one shorter.

    Raises:
      EOFError: the file is cut short.
    """
    size = uids.SUBSET_DTYPE.itemsize
    for start in range(0, count, rows):
        data = file.read(min(rows, count - start) * size)
        if len(data) != min(rows, count - start) * size:
            raise EOFError(f"a run of {count} rows ends after {start + len(data) // size}")
        yield np.frombuffer(data, uids.SUBSET_DTYPE)


def merge(runs: Sequence[Iterator[UidRecords]]) -> Iterator[UidRecords]:
    """Merges sorted runs; rows that repeat are kept.

    What is held is one block of each run, and once more that much while it is sorted.

    Args:
      runs: each yields ``uids.SUBSET_DTYPE`` blocks, sorted by (f0, f1) within and from block to block, none empty.

    Yields:
      ``uids.SUBSET_DTYPE`` ``[m]``, sorted within and from one to the next, none empty.
    """
    heads = [(block, run) for run in runs if (block := next(run, None)) is not None]
    while heads:
        bound = min(block[-1].item() for block, _ in heads)  # no run has anything unread below it
        cuts = [bisect.bisect_right(block, bound, key=_pair) for block, _ in heads]
        taken = [block[:cut] for (block, _), cut in zip(heads, cuts, strict=True)]
        yield _sorted(np.concatenate(taken))
        rest = [(block[cut:], run) for (block, run), cut in zip(heads, cuts, strict=True)]
        heads = [(left, run) for block, run in rest if (left := block if len(block) else next(run, None)) is not None]


def _pair(row: Any) -> tuple[int, int]:
    pair: tuple[int, int] = row.item()
    return pair


def _sorted(rows: UidRecords) -> UidRecords:
    return uids.subset(rows.view(np.uint64).reshape(-1, 2))
