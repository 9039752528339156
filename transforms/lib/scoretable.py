"""Scores of other tools: a table of numbers by uid or key, sorted so that a shard finds its rows by binary search."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from transforms.lib import subsets, uids
from transforms.lib.errors import InputError

SUFFIXES = (".parquet", ".csv")
KINDS = ("uid", "key")

Rows = NDArray[np.void]  # fields f0, f1 as in a subset file, then one float32 a column; sorted by (f0, f1)


def schema_of(path: str) -> pa.Schema:
    """Returns the schema of a Parquet file, or of a CSV file with a header, as its first block has it.

    Raises:
      InputError: it is neither.
    """
    try:
        if path.endswith(".parquet"):
            return pq.read_schema(path)
        if path.endswith(".csv"):
            with pacsv.open_csv(path) as reader:
                return reader.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    raise InputError(f"{path} is no table; give {' or '.join(SUFFIXES)}")


def score_columns(schema: pa.Schema, by: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns to import: those wanted, or else every column of numbers.

    Raises:
      InputError: the column of uids or keys is missing, or there are no columns of numbers by those names.
    """
    kinds = {field.name: field.type for field in schema}
    numbers = [name for name, kind in kinds.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]
    if by not in kinds:
        raise InputError(
            f"the table has no column {by!r}, it has {', '.join(kinds)}; choose another --by, or rename it"
        )
    numbers = [name for name in numbers if name != by]
    lacking = [name for name in wanted if name not in numbers]
    if lacking or not numbers:
        raise InputError(
            f"the table has no numbers in {', '.join(lacking) or 'any column'}; it has {', '.join(numbers)}"
        )
    return tuple(wanted) or tuple(numbers)


def pairs_of(by: str, names: Sequence[str | None]) -> NDArray[np.uint64]:
    """Turns uids or keys into pairs: a uid as ``uids.pairs`` does, a key by the first 16 bytes of its sha256.

    Returns:
      uint64 ``[n, 2]``.

    Raises:
      InputError: a uid is not 1 to 32 hex digits, or a name is missing.
    """
    if None in names:
        raise InputError(f"{names.count(None)} rows of the table have no {by}; leave them out")
    texts = [str(name) for name in names]
    if by == "key":
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in texts)
        return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    try:
        return uids.pairs([text.lower().zfill(32) for text in texts])
    except ValueError:
        bad = next(text for text in texts if not uids.is_uid(text))
        raise InputError(f"{bad!r} is no uid, which has 1 to 32 hex digits; choose --by key, or mend it") from None


def read_table(paths: Sequence[str], by: str, columns: Sequence[str]) -> Rows:
    """Reads tables of scores, some thousand rows at a time, and sorts them.

    A uid or key may be repeated with the same values, which is the same as once.

    Args:
      paths: local Parquet or CSV files.
      by: name of the column of uids or keys, which is also what they are.
      columns: to read; anything missing becomes NaN.

    Returns:
      ``Rows``, each uid or key once: 16 bytes and 4 a column a row; three times as much while they are sorted.

    Raises:
      InputError: a uid is wrong, or is repeated with other values.
    """
    dtype = np.dtype([("f0", "<u8"), ("f1", "<u8"), *((name, "<f4") for name in columns)])
    parts = [np.empty(0, dtype)]
    for path in paths:
        for batch in _batches(path, by, columns):
            part = np.empty(len(batch), dtype)
            pairs = pairs_of(by, batch[by].to_pylist())
            part["f0"], part["f1"] = pairs[:, 0], pairs[:, 1]
            for name in columns:
                part[name] = batch[name].to_numpy(zero_copy_only=False).astype(np.float32)
            parts.append(part)
    rows: Rows = np.concatenate(parts)
    rows = rows[np.lexsort((rows["f1"], rows["f0"]))]
    return _without_repeats(rows, by, columns)


def _without_repeats(rows: Rows, by: str, columns: Sequence[str]) -> Rows:
    repeated = (rows["f0"][1:] == rows["f0"][:-1]) & (rows["f1"][1:] == rows["f1"][:-1])
    if not repeated.any():
        return rows
    for name in columns:
        bits = np.ascontiguousarray(rows[name]).view(np.uint32)
        differs = repeated & (bits[1:] != bits[:-1])
        if differs.any():
            raise InputError(
                f"{int(differs.sum())} rows of the table repeat a {by} with another value of {name}; "
                "leave one row for each"
            )
    once: Rows = rows[np.concatenate([[True], ~repeated])]
    return once


def _batches(path: str, by: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    names = [by, *columns]
    if path.endswith(".parquet"):
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(columns=names)
        return
    types = {by: pa.string(), **dict.fromkeys(columns, pa.float64())}
    options = pacsv.ConvertOptions(column_types=types, include_columns=names)
    try:
        with pacsv.open_csv(path, convert_options=options) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def look_up(rows: Rows, pairs: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    """Finds the values of uids or keys.

    Args:
      rows: sorted; may be a memory map, of which some thirty rows a query are read.
      pairs: uint64 ``[n, 2]``.

    Returns:
      column -> float32 ``[n]``; NaN where the table has no row.
    """
    place = subsets.places(rows, pairs)
    found = place >= 0
    values = {}
    for name in (rows.dtype.names or ())[2:]:
        values[name] = np.full(len(pairs), np.nan, np.float32)
        values[name][found] = rows[place[found]][name]
    return values
