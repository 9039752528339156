"""Read many byte ranges of one file in few, larger reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

_SKIP_BYTES = 1 << 22
COALESCE_BYTES = 1 << 20  # gaps up to this are read through: a seek on an object store costs more


def coalesce(offsets: Sequence[int], lengths: Sequence[int], gap_bytes: int = COALESCE_BYTES) -> list[list[int]]:
    """Groups ranges that are close to one another.

    Args:
      offsets: first byte of each range, in any order.
      lengths: bytes of each range.
      gap_bytes: largest number of unwanted bytes between two ranges of one group.

    Returns:
      lists of positions in ``offsets``, each list ordered by offset; every position in exactly one.
    """
    groups: list[list[int]] = []
    reach = 0
    for position in np.argsort(np.asarray(offsets, np.int64), kind="stable").tolist():
        if groups and offsets[position] - reach <= gap_bytes:
            groups[-1].append(position)
        else:
            groups.append([position])
        reach = max(reach, offsets[position] + lengths[position])
    return groups


def read_ranges(
    file: BinaryIO, offsets: Sequence[int], lengths: Sequence[int], gap_bytes: int = COALESCE_BYTES
) -> list[bytes]:
    """Reads byte ranges, in the order given.

    Args:
      file: seekable, or a decompressing stream at its start, which is read through.
      offsets: first byte of each range.
      lengths: bytes of each range.
      gap_bytes: as in ``coalesce``.

    Raises:
      EOFError: the file ends inside a range, so it is not the file the ranges were made from.
    """
    found: list[bytes] = [b""] * len(offsets)
    forward_only = not file.seekable()
    at_byte = 0
    for group in coalesce(offsets, lengths, gap_bytes):
        start = offsets[group[0]]
        stop = max(offsets[position] + lengths[position] for position in group)
        if forward_only:
            _skip(file, start - at_byte)
        else:
            file.seek(start)
        data = memoryview(_read_exactly(file, stop - start))
        at_byte = stop
        for position in group:
            at = offsets[position] - start
            found[position] = bytes(data[at : at + lengths[position]])
    return found


def _skip(file: BinaryIO, size: int) -> None:
    while size > 0:
        size -= len(_read_exactly(file, min(size, _SKIP_BYTES)))


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    parts, left = [], size
    while left:
        part = file.read(left)
        if not part:
            raise EOFError(f"the file ends {left} bytes before a range that its index names; was it replaced?")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
