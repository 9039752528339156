"""Lists of uids as files: subset files with or without header, texts, tables; sorted on disk, joined as multisets."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from transforms.lib import uid_rule, uids
from transforms.lib.arrays import Int64, UInt64
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.subsets import subset_files
from transforms.lib.subsets.subset_files import UidRecords

PARTS = 256  # ranges of uids by their first two digits; one of them is held at a time
_ROWS = 1 << 20  # rows read at once


class UidList:
    """A multiset of uids in a temporary file, dealt out by their first two digits; one range is sorted at a time.

    Memory is that of the fullest of 256 ranges, about 60 bytes per uid of it: 23 MB for 100 million hashed uids.

    Args:
      stack: that closes the temporary file, 16 bytes per uid.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._spans: dict[int, list[tuple[int, int]]] = {}
        self.count = 0

    def add(self, pairs: UInt64) -> None:
        """Adds uids, uint64 ``[n, 2]``, in any order."""
        first = (pairs[:, 0] >> np.uint64(56)).astype(np.uint8)
        dealt = np.ascontiguousarray(pairs[np.argsort(first, kind="stable")], "<u8")
        lengths = np.bincount(first, minlength=PARTS)
        starts = 16 * (self.count + np.cumsum(lengths) - lengths)
        for part in np.flatnonzero(lengths).tolist():
            self._spans.setdefault(part, []).append((int(starts[part]), 16 * int(lengths[part])))
        self._file.write(dealt.data)
        self.count += len(pairs)

    def part(self, number: int) -> UidRecords:
        """Returns the uids whose first two digits are ``number``, ``uids.SUBSET_DTYPE`` ``[n]``, sorted.

        Nothing is added after the first call.
        """
        pieces = []
        for start, length in self._spans.get(number, []):
            self._file.seek(start)
            pieces.append(self._file.read(length))
        return uids.subset(np.frombuffer(b"".join(pieces), np.uint64).reshape(-1, 2))


def read(path: str, name: str, sort: bool, stack: contextlib.ExitStack) -> UidList:
    """Reads a local file of uids.

    Args:
      path: ``.txt`` with one uid per line, ``.parquet`` with a text column ``uid``, or else a subset file, with the
        ``.npy`` header or without one. Zeros that texts lost on the left are put back, and names are hashed as those
        of samples are.
      name: what messages call the file.
      sort: whether uids may come in any order.
      stack: closes what is opened.

    Raises:
      InputError: no such file, a blank uid, or not sorted although it must be.
    """
    listed = UidList(stack)
    last: tuple[int, int] | None = None
    try:
        for pairs in _pieces(path):
            if not sort and len(pairs):
                _check_order(pairs, last, listed.count)
                last = (int(pairs[-1, 0]), int(pairs[-1, 1]))
            listed.add(pairs)
    except (InputError, OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from None
    return listed


def _check_order(pairs: UInt64, last: tuple[int, int] | None, start: int) -> None:
    first, second = pairs[:, 0], pairs[:, 1]
    falls = (first[1:] < first[:-1]) | ((first[1:] == first[:-1]) & (second[1:] < second[:-1]))
    if last is not None and (int(first[0]), int(second[0])) < last:
        raise InputError(f"not sorted at row {start}; add --sort")
    if falls.any():
        raise InputError(f"not sorted at row {start + int(np.argmax(falls)) + 1}; add --sort")


def _pieces(path: str) -> Iterator[UInt64]:
    """Yields the uids of a file in its order, about a million at a time; uint64 ``[n, 2]``."""
    if path.endswith(".parquet"):
        with ParquetReader(path) as file:
            if "uid" not in file.schema.names:
                raise InputError("has no column uid")
            kind = file.schema.field("uid").type
            if not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
                raise InputError(f"has {kind} in uid, expected text")
            for batch in file.batches(["uid"], _ROWS):
                yield pairs_of(batch["uid"].cast(pa.string()))
    elif path.endswith(".txt"):
        convert = pacsv.ConvertOptions(column_types={"uid": pa.string()}, strings_can_be_null=False)
        try:
            with pacsv.open_csv(path, pacsv.ReadOptions(column_names=["uid"]), None, convert) as reader:
                for batch in reader:
                    yield pairs_of(batch["uid"])
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise
    else:
        rows = subset_files.open_subset(path)
        for start in range(0, len(rows), _ROWS):
            piece = np.asarray(rows[start : start + _ROWS])
            yield subset_files.pairs_in(piece)


def pairs_of(texts: pa.Array) -> UInt64:
    """Returns uint64 ``[n, 2]`` of uids as text, by ``uid_rule.of_text``: hex digits, UUIDs, or any other names.

    Raises:
      InputError: one is blank.
    """
    digits = digits_of(texts)
    if pc.any(pc.equal(digits, ""), min_count=0).as_py():
        raise InputError("a uid is blank; leave its line or row out")
    return columns.uid_pairs(pa.chunked_array([digits]))


def digits_of(texts: pa.Array) -> pa.Array:
    """Returns the uids of texts ``[n]``, 32 hex digits each, by ``uid_rule.of_text``; empty for a blank or no text."""
    digits = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    hex_ = pc.fill_null(pc.match_substring_regex(digits, "^[0-9a-f]{1,32}$"), False)
    padded = pc.utf8_lpad(digits, 32, "0")
    if pc.all(hex_, min_count=0).as_py():
        return padded
    names = texts.filter(pc.invert(hex_)).to_pylist()
    named = [uid_rule.of_text(name) if name and name.strip() else "" for name in names]
    return pc.replace_with_mask(padded, pc.invert(hex_), pa.array(named, pa.string()))


def joined(
    rows: UidRecords,
    union: Sequence[UidRecords] = (),
    intersect: Sequence[UidRecords] = (),
    subtract: Sequence[UidRecords] = (),
) -> UidRecords:
    """Joins sorted multisets of uids: first ``union``, then ``intersect``, then ``subtract``.

    Copies are those of ``rows``; the other lists say only which uids; ``union`` alone reads their copies:

    - ``union``: each uid as often as in the list that has it most often.
    - ``intersect``: all copies of the uids that every list has.
    - ``subtract``: no copy of a uid that any list has.

    Args:
      rows, and each list: ``uids.SUBSET_DTYPE`` ``[n]``, sorted.

    Returns:
      ``uids.SUBSET_DTYPE`` ``[m]``, sorted.
    """
    for other in union:
        once, times = np.unique(other, return_counts=True)
        more = np.maximum(times - _times(rows, once), 0)
        both = np.concatenate([rows, np.repeat(once, more)])
        rows = uids.subset(subset_files.pairs_in(both)) if more.any() else rows
    for other in intersect:
        rows = rows[_times(other, rows) > 0]
    for other in subtract:
        rows = rows[_times(other, rows) == 0]
    return rows


def _times(rows: UidRecords, wanted: UidRecords) -> Int64:
    return subset_files.multiplicity(rows, subset_files.pairs_in(wanted))


def distinct(rows: UidRecords) -> int:
    """Returns how many different uids sorted rows have."""
    if not len(rows):
        return 0
    return 1 + int(((rows["f0"][1:] != rows["f0"][:-1]) | (rows["f1"][1:] != rows["f1"][:-1])).sum())


def ranges(rows: UidRecords) -> Iterator[UidRecords]:
    """Yields the distinct uids of a sorted subset, by their first two digits; those of one range are in memory."""
    digits = np.arange(1, PARTS, dtype=np.uint64) << np.uint64(56)
    bounds = np.stack([digits, np.zeros_like(digits)], 1)
    ends = subset_files.starts(rows, bounds).tolist()
    for start, stop in zip([0, *ends], [*ends, len(rows)], strict=True):
        yield np.unique(np.asarray(rows[start:stop]))
