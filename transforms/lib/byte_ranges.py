"""Read many byte ranges of one file in few, larger reads.

The rule: a request costs as much as reading ``gap_bytes`` (its latency times the bandwidth), so a gap between two
wanted ranges is read through when it is at most that long, and skipped by a new request when it is longer. Each gap
is decided alone, so the sum is the least possible; where most samples are kept all gaps are short, and the shard is
read whole.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple, NoReturn

import numpy as np

from transforms.lib.arrays import Int64

_PIECE_BYTES = 1 << 22  # one read, and one request on an object store, is at most this long
COALESCE_LOCAL = 1 << 16  # measured: docs/resharding.md
COALESCE_REMOTE = 1 << 22  # 50 ms before the first byte, at 80 MB/s


class Copied(NamedTuple):
    """What ``copy_ranges`` did.

    Attributes:
      starts: int64 ``[n]``, where each range begins in the sink.
      read_bytes: bytes read from the file, those between ranges included.
      requests: contiguous stretches that were read.
    """

    starts: Int64
    read_bytes: int
    requests: int


def coalesce(offsets: Int64, lengths: Int64, gap_bytes: int) -> Int64:
    """Groups ranges that are close to one another.

    Args:
      offsets: int64 ``[n]``, first byte of each range, ascending; they do not overlap.
      lengths: int64 ``[n]``, bytes of each range.
      gap_bytes: largest number of unwanted bytes between two ranges of one group.

    Returns:
      int64 ``[g + 1]``: group k is the ranges ``bounds[k]`` to ``bounds[k + 1]``.
    """
    apart = np.flatnonzero(offsets[1:] - (offsets + lengths)[:-1] > gap_bytes) + 1
    ends = [len(offsets)] if len(offsets) else []
    return np.array([0, *apart, *ends], np.int64)


def covered(offsets: Int64, lengths: Int64) -> int:
    """Returns how many bytes lie in any of ``n`` ranges.

    Args:
      offsets: int64 ``[n]``, first byte of each range, in any order; ranges may overlap.
      lengths: int64 ``[n]``, bytes of each range.
    """
    order = np.argsort(offsets, kind="stable")
    begins, ends = offsets[order], (offsets + lengths)[order]
    reach = np.maximum.accumulate(np.append(0, ends))[:-1]
    return int(np.maximum(ends - np.maximum(begins, reach), 0).sum())


def copy_ranges(file: BinaryIO, offsets: Int64, lengths: Int64, sink: BinaryIO, gap_bytes: int) -> Copied:
    """Copies byte ranges of a file to the end of another, in the order of the file.

    Memory: one piece of 4 MiB, however many and long the ranges.

    Args:
      file: seekable, or a decompressing stream at its start, which is read through.
      offsets: int64 ``[n]``, first byte of each range, in any order; ranges are equal or do not overlap.
      lengths: int64 ``[n]``, bytes of each range.
      sink: open for writing, at its end.
      gap_bytes: as in ``coalesce``.

    Raises:
      EOFError: the file ends inside a range, so it is not the file the ranges were made from.
    """
    begins, first, which = np.unique(offsets, return_index=True, return_inverse=True)
    ends = begins + lengths[first]
    bounds = coalesce(begins, ends - begins, gap_bytes)
    buffer = memoryview(bytearray(_PIECE_BYTES))
    start = sink.tell()
    read_bytes = at_byte = 0
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        wanted = list(zip(begins[low:high].tolist(), ends[low:high].tolist(), strict=True))
        if file.seekable():
            file.seek(wanted[0][0])
        else:
            _skip(file, at_byte, wanted[0][0], buffer)
        at_byte = wanted[-1][1]
        read_bytes += at_byte - wanted[0][0]
        _copy_group(file, wanted, sink, buffer)
    starts = start + np.append(0, (ends - begins).cumsum())[:-1]
    return Copied(starts[which], read_bytes, max(0, len(bounds) - 1))


def _copy_group(file: BinaryIO, wanted: list[tuple[int, int]], sink: BinaryIO, buffer: memoryview) -> None:
    """Copies ascending ranges of a file that stands at the first of them."""
    at_byte, last, turn = wanted[0][0], wanted[-1][1], 0
    while at_byte < last:
        piece = buffer[: min(len(buffer), last - at_byte)]
        _fill(file, piece, at_byte)
        reach = at_byte + len(piece)
        while turn < len(wanted) and wanted[turn][0] < reach:
            begin, end = wanted[turn]
            sink.write(piece[max(begin, at_byte) - at_byte : min(end, reach) - at_byte])
            if end > reach:
                break
            turn += 1
        at_byte = reach


def _fill(file: BinaryIO, piece: memoryview, at_byte: int) -> None:
    done = 0
    while done < len(piece):
        count = file.readinto(piece[done:])  # type: ignore[attr-defined]
        if not count:
            _ends_early(at_byte + done)
        done += count


def _skip(file: BinaryIO, start: int, stop: int, buffer: memoryview) -> None:
    while start < stop:
        piece = buffer[: min(len(buffer), stop - start)]
        _fill(file, piece, start)
        start += len(piece)


class LocalFiles:
    """Reads byte ranges of local files in any order, a few dozen files open at a time.

    Closes them at the end of a ``with`` block.
    """

    _MOST_OPEN = 64

    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def __enter__(self) -> LocalFiles:
        return self

    def __exit__(self, *error: object) -> None:
        for path in list(self._open):
            os.close(self._open.pop(path))

    def _file(self, path: str) -> int:
        if path not in self._open:
            if len(self._open) >= self._MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            self._open[path] = os.open(path, os.O_RDONLY)
        return self._open[path]

    def announce(self, path: str, offsets: Int64, lengths: Int64, gap_bytes: int) -> Copied:
        """Tells the kernel which ranges are going to be read, so that it fetches them in the order of the file.

        Args:
          path: of the file.
          offsets: int64 ``[n]``, as for ``copy_ranges``.
          lengths: int64 ``[n]``.
          gap_bytes: as in ``coalesce``.

        Returns:
          as ``copy_ranges``; ``starts`` are the offsets.
        """
        begins, first = np.unique(offsets, return_index=True)
        ends = begins + lengths[first]
        bounds = coalesce(begins, ends - begins, gap_bytes)
        starts, stops = begins[bounds[:-1]], ends[bounds[1:] - 1]
        if hasattr(os, "posix_fadvise"):
            file = self._file(path)
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
                os.posix_fadvise(file, start, stop - start, os.POSIX_FADV_WILLNEED)
        return Copied(offsets, int((stops - starts).sum()), len(starts))

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Returns one range.

        Raises:
          EOFError: as ``copy_ranges``.
        """
        data = os.pread(self._file(path), length, offset)
        while len(data) < length:
            more = os.pread(self._file(path), length - len(data), offset + len(data))
            if not more:
                _ends_early(offset + len(data))
            data += more
        return data


def _ends_early(at_byte: int) -> NoReturn:
    raise EOFError(f"the file ends at byte {at_byte}, inside an indexed range")


def read_ranges(
    file: BinaryIO, offsets: Sequence[int], lengths: Sequence[int], gap_bytes: int = COALESCE_REMOTE
) -> list[bytes]:
    """Reads byte ranges into memory, in the order given; arguments and errors as ``copy_ranges``."""
    sink = io.BytesIO()
    copied = copy_ranges(file, np.array(offsets, np.int64), np.array(lengths, np.int64), sink, gap_bytes)
    data = sink.getbuffer()
    return [bytes(data[start : start + size]) for start, size in zip(copied.starts.tolist(), lengths, strict=True)]
