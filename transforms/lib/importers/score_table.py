"""Scores of other tools: a table of numbers by uid or key, sorted so that a shard finds its rows by binary search."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from transforms.lib import uid_rule, uids
from transforms.lib.arrays import UInt64
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.subsets import subset_files

SUFFIXES = (".parquet", ".csv")
KINDS = ("uid", "key")

ScoreRecords = NDArray[np.void]  # f0, f1 as in a subset file, then values, float32 [columns]; sorted by (f0, f1)

_LARGEST_WHOLE = 1 << 24  # up to here float32 holds every whole number
_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """Says in one line why a table cannot be read."""
    try:
        yield
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read: {why}; write it as Parquet, or as UTF-8 CSV with commas") from None


def schema_of(path: str) -> pa.Schema:
    """Returns the schema of a Parquet file, or of a CSV file with a header, as its first block has it.

    Raises:
      InputError: it is neither.
    """
    if not path.endswith(SUFFIXES):
        raise InputError(f"{path} is no table; give {' or '.join(SUFFIXES)}")
    with _reading(path):
        if path.endswith(".parquet"):
            with ParquetReader(path, foreign=True) as file:
                return file.schema
        with pacsv.open_csv(path) as reader:
            fields = [(field.name, field.type) for field in reader.schema]  # Arrow decodes names when they are read
        late = _late_types(path, [name for name, kind in fields if pa.types.is_null(kind)])
        return pa.schema([(name, late.get(name, kind)) for name, kind in fields])


def _late_types(path: str, names: Sequence[str]) -> dict[str, pa.DataType]:
    """Returns the types of columns of a CSV file that are empty in its first block, by the first block with values.

    Args:
      path: of the file.
      names: of the columns; those that are empty to the end are not in the result.
    """
    found: dict[str, pa.DataType] = {}
    if not names:
        return found
    texts = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), include_columns=list(names), strings_can_be_null=True
    )
    with pacsv.open_csv(path, convert_options=texts) as reader:
        for batch in reader:
            for name in names:
                values = batch[name].drop_null()
                if name not in found and len(values):
                    found[name] = _type_of(values)
            if len(found) == len(names):
                break
    return found


def _type_of(texts: pa.Array) -> pa.DataType:
    try:
        texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.string()
    return pa.float64()


def numbers_of(schema: pa.Schema) -> list[str]:
    """Returns the names of the columns of numbers, as often as they are there."""
    return [field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]


def empty_columns(schema: pa.Schema) -> list[str]:
    """Returns the names of the columns without any value, of which nobody can tell what they are."""
    return [field.name for field in schema if pa.types.is_null(field.type)]


def is_unnamed(name: str) -> bool:
    """Tells whether a column has no name but the one that pandas gave its index, in CSV or in Parquet."""
    return _UNNAMED.fullmatch(name) is not None


def score_columns(schema: pa.Schema, by: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the columns to import: those wanted, or else every column of numbers that has a name.

    Raises:
      InputError: the column of uids or keys is missing, there are no columns of numbers by those names, or there are
        two of a name.
    """
    if by not in schema.names:
        raise InputError(
            f"the table has no column {by!r}, it has {', '.join(schema.names)}; choose another --by, or rename it"
        )
    numbers = [name for name in numbers_of(schema) if name not in (by, "")]
    named = [name for name in numbers if not is_unnamed(name)]
    lacking = [name for name in wanted if name not in numbers]
    if lacking or not (wanted or named):
        raise InputError(
            f"the table has no numbers in {', '.join(lacking) or 'a column with a name'}; of its columns "
            f"{', '.join(filter(None, schema.names))}, numbers are in {', '.join(numbers) or 'none'}"
        )
    chosen = tuple(dict.fromkeys(wanted or named))
    for name in (by, *chosen):
        if schema.names.count(name) > 1:
            raise InputError(f"the table has {schema.names.count(name)} columns called {name!r}; leave one, or rename")
    return chosen


def pairs_of(by: str, names: Sequence[str]) -> UInt64:
    """Turns uids or keys into pairs: a uid by ``uid_rule.of_text``, a key by the first 16 bytes of its sha256.

    Returns:
      uint64 ``[n, 2]``.
    """
    texts = [str(name) for name in names]
    if by == "key":
        digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in texts)
        return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
    return uids.pairs([uid_rule.of_text(text) for text in texts])


def read_table(
    paths: Sequence[str], by: str, columns: Sequence[str], tell: Callable[[str], None] = lambda line: None
) -> ScoreRecords:
    """Reads tables of scores, some thousand rows at a time, and sorts them.

    A uid or key may be repeated with the same values, which is the same as once.

    Args:
      paths: local Parquet or CSV files.
      by: name of the column of uids or keys, which is also what they are.
      columns: to read; anything missing becomes NaN.
      tell: gets a line for the user about columns whose values lose digits.

    Returns:
      ``ScoreRecords``, each uid or key once: 16 bytes per row, and 4 per column of it; three
      times as much while they are sorted.

    Raises:
      InputError: a uid or key is missing, or is repeated with other values, or whole numbers are too large for float32.
    """
    narrowed: set[str] = set()
    dtype = np.dtype([("f0", "<u8"), ("f1", "<u8"), ("values", "<f4", (len(columns),))])
    parts = [np.empty(0, dtype)]
    for path in paths:
        for batch in _batches(path, by, columns):
            part = np.empty(len(batch), dtype)
            names = batch[by].to_pylist()
            if missing := sum(name in (None, "") for name in names):
                raise InputError(f"{missing} rows of {path} have no {by}; leave them out")
            pairs = pairs_of(by, names)
            part["f0"], part["f1"] = pairs[:, 0], pairs[:, 1]
            for at, name in enumerate(columns):
                values = batch[name].to_numpy(zero_copy_only=False)
                part["values"][:, at] = _narrow(values, f"{name} of {path}")
                if name not in narrowed and (part["values"][:, at] != values)[~np.isnan(values)].any():
                    narrowed.add(name)
            parts.append(part)
    if narrowed:
        tell(f"{', '.join(sorted(narrowed))}: stored as float32; values that agree in 7 digits become equal")
    rows: ScoreRecords = np.concatenate(parts)
    rows = rows[np.lexsort((rows["f1"], rows["f0"]))]
    return _without_repeats(rows, by, columns)


def _narrow(values: NDArray[Any], whose: str) -> NDArray[np.float32]:
    """Returns numbers as float32.

    Raises:
      InputError: whole numbers, such as ranks, that are so large that neighbours become equal.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    merged = (np.abs(values) > _LARGEST_WHOLE) & (values == np.floor(values)) & (narrow != values)
    if merged.any():
        example = values[np.flatnonzero(merged)[0]]
        raise InputError(
            f"{int(merged.sum())} values of {whose} are whole numbers above {_LARGEST_WHOLE}, such as {example:.0f}; "
            "float32 makes neighbours equal there; divide ranks by their number, or leave the column out"
        )
    return narrow


def _without_repeats(rows: ScoreRecords, by: str, columns: Sequence[str]) -> ScoreRecords:
    repeated = (rows["f0"][1:] == rows["f0"][:-1]) & (rows["f1"][1:] == rows["f1"][:-1])
    if not repeated.any():
        return rows
    for at, name in enumerate(columns):
        bits = np.ascontiguousarray(rows["values"][:, at]).view(np.uint32)
        differs = repeated & (bits[1:] != bits[:-1])
        if differs.any():
            raise InputError(
                f"{int(differs.sum())} rows of the table repeat a {by} with another value of {name}; "
                "leave one row for each"
            )
    once: ScoreRecords = rows[np.concatenate([[True], ~repeated])]
    return once


def _batches(path: str, by: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    names = [by, *columns]
    types = {by: pa.string(), **dict.fromkeys(columns, pa.float64())}
    options = pacsv.ConvertOptions(column_types=types, include_columns=names)
    with _reading(path):
        if path.endswith(".parquet"):
            with ParquetReader(path, foreign=True) as file:
                yield from file.batches(names)
        else:
            with pacsv.open_csv(path, convert_options=options) as reader:
                yield from reader


def look_up(rows: ScoreRecords, pairs: UInt64, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Finds the values of uids or keys.

    Args:
      rows: sorted; may be a memory map, of which some thirty rows per query are read.
      pairs: uint64 ``[n, 2]``.
      columns: what the values of a row are.

    Returns:
      column -> float32 ``[n]``; NaN where the table has no row.
    """
    place = subset_files.places(rows, pairs)
    present = place >= 0
    values = np.full((len(pairs), len(columns)), np.nan, np.float32)
    values[present] = rows[place[present]]["values"]
    return {name: values[:, at] for at, name in enumerate(columns)}
