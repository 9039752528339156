"""The column store: per shard and column set one Parquet file, row i being sample i in tar order.

A file carries its stamp, so that work whose result exists is skipped, and nothing that depends on
the clock, so that equal inputs give equal bytes. A column is named ``set.column``; a bare name stands
for the only set that has it, or else for the score of the set of that name.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib import similar, uids
from transforms.lib.arrays import Bool, Float32, UInt64
from transforms.lib.columnstore.hints import hint_for
from transforms.lib.errors import ConfigError
from transforms.lib.parquet_files import SEALED, ParquetWriter

INDEX = "index"
OK = "ok"
ROW_GROUP = 1 << 16  # rows that are read together when a few are wanted

INDEX_SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), False),  # 32 hex digits; empty when it could not be formed
        pa.field("key", pa.string(), False),  # WebDataset key; empty when a tar broke between samples
        pa.field("offset", pa.int64(), False),  # first byte of the sample in the uncompressed tar
        pa.field("length", pa.int64(), False),  # bytes up to the next sample, headers and padding included
        pa.field("status", pa.string(), False),  # "ok" or a Reason
        pa.field("detail", pa.string(), False),
        pa.field("caption", pa.string(), False),
        pa.field("image_extension", pa.string(), False),
        pa.field("image_sha256", pa.string(), False),
        pa.field("image_bytes", pa.int64(), False),
        pa.field("width", pa.int32(), False),  # pixels, 0 when unknown
        pa.field("height", pa.int32(), False),
        pa.field("original_width", pa.int32(), False),  # before the download resized it, as the json says; else width
        pa.field("original_height", pa.int32(), False),
        pa.field("phash", pa.uint64(), False),  # perceptual hash of the pixels; none, and 0, when width is 0
        pa.field("notices", pa.string(), False),  # kinds of ``Notice``, sorted, separated by commas
        pa.field("uid_text", pa.string(), False),  # what the uid was written as, when it was no hex number; else empty
        pa.field("sample_digest", pa.string(), False),  # of key and members, with its method; empty where none is asked
        pa.field("url", pa.string(), False),  # where the download got the image, as the json says; empty when unknown
        pa.field("opt_out", pa.string(), False),  # json fields that say so, sorted, separated by commas
    ]
)

DECISIONS_SCHEMA = pa.schema(
    [
        pa.field("copies", pa.uint16(), False),
        pa.field("step", pa.string(), False),  # "" kept, "rejected", or the label of the step that dropped it
        pa.field("margin", pa.float32(), False),
    ]
)


def score_schema(dim: int, part: str = "") -> pa.Schema:
    """Returns the schema of a model's column set: float32 score, float16 ``[dim]`` unit embeddings.

    With ``part``, ``image`` or ``text``, it has that embedding alone; with ``score`` a number alone.
    """
    if part == "score":
        return pa.schema([pa.field("score", pa.float32(), False)])
    embedding = pa.list_(pa.field("element", pa.float16(), False), dim)
    if part:
        return pa.schema([pa.field(part, embedding, False)])
    return pa.schema(
        [
            pa.field("score", pa.float32(), False),  # cosine in [-1, 1]; NaN for a rejected sample
            pa.field("image", embedding, False),
            pa.field("text", embedding, False),
        ]
    )


def score_table(score: Float32, image: NDArray[np.floating[Any]], text: NDArray[np.floating[Any]]) -> pa.Table:
    """Returns a model's column set.

    Args:
      score: float32 ``[n]``, cosine, NaN for rejected samples.
      image: floats ``[n, dim]``, unit norm or zero; stored as float16.
      text: floats ``[n, dim]``, unit norm or zero; stored as float16.
    """
    arrays = [pa.array(score.astype(np.float32)), _packed(image, "image"), _packed(text, "text")]
    return pa.Table.from_arrays(arrays, schema=score_schema(image.shape[1]))


def embedding_table(part: str, values: Float32) -> pa.Table:
    """Returns the column set of a model that has one tower only.

    Args:
      part: ``image`` or ``text``.
      values: float32 ``[n, dim]``, unit norm; zero for rejected samples.
    """
    return pa.Table.from_arrays([_packed(values, part)], schema=score_schema(values.shape[1], part))


def _packed(values: Float32, part: str) -> pa.Array:
    flat = pa.array(values.astype(np.float16).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, type=score_schema(values.shape[1], part).field(part).type)


def embeddings(column: pa.ChunkedArray) -> NDArray[np.float16]:
    """Returns float16 ``[n, dim]`` from an embedding column."""
    array = column.combine_chunks()
    flat: NDArray[np.float16] = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)


def embedded(values: NDArray[np.floating[Any]]) -> Bool:
    """Returns bool ``[n]``: which rows of embeddings ``[n, dim]`` are any; that of a rejected sample is zero."""
    nonzero: Bool = (values != 0).any(axis=1)
    return nonzero


def to_parquet(table: pa.Table, stamp: str, **facts: str) -> bytes:
    """Returns the file's bytes, a function of the table, the stamp and the facts alone."""
    sink = io.BytesIO()
    with parquet_writer(sink.write, table.schema, stamp, **facts) as writer:
        writer.write_table(table, row_group_size=ROW_GROUP)
    return sink.getvalue()


def parquet_writer(write: Callable[[Any], Any], schema: pa.Schema, stamp: str, **facts: str) -> ParquetWriter:
    """Opens a file that is written table by table, one or more row groups each; closing it writes the footer.

    Args:
      write: appends bytes to the file.
      schema: of every table.
      stamp, facts: what ``facts_of`` returns.
    """
    named = {f"winnow.{name}": value for name, value in {"stamp": stamp, **facts}.items()}
    lists = [field.name for field in schema if pa.types.is_fixed_size_list(field.type)]
    codecs = {name: "none" if name in lists else "zstd" for name in schema.names}
    compression = {f"{name}.list.element" if name in lists else name: codec for name, codec in codecs.items()}
    plain = [name for name in schema.names if not pa.types.is_floating(schema.field(name).type)]
    return ParquetWriter(
        write,
        schema.with_metadata(named),
        compression=compression,
        use_dictionary=[name for name in plain if name in ("status", "step", "image_extension", "label", "notices")],
    )


def facts_of(schema: pa.Schema) -> dict[str, str]:
    """Returns what ``to_parquet`` noted beside the table (``stamp`` and facts), by the schema it was stored with.

    Raises:
      ArrowInvalid: it is no text, so something else wrote it.
    """
    prefix = b"winnow."
    noted = {k[len(prefix) :]: v for k, v in (schema.metadata or {}).items() if k.startswith(prefix) and k != SEALED}
    try:
        return {name.decode(): value.decode() for name, value in noted.items()}
    except UnicodeDecodeError:
        raise pa.ArrowInvalid("what is noted in it is no text") from None


def resolve(
    names: Iterable[str], sets: Mapping[str, Sequence[str]], hints: Mapping[str, str] | None = None
) -> dict[str, tuple[str, str]]:
    """Finds the column set of each column name.

    Args:
      names: ``set.column`` or bare column names.
      sets: column set -> its columns.
      hints: column name -> how to get it, where a recipe knows better than ``hint_for``.

    Returns:
      name -> (set, column).

    Raises:
      ConfigError: names that no set, or more than one set, has; all of them.
    """
    resolved: dict[str, tuple[str, str]] = {}
    problems = []
    every = [f"{owner}.{column}" for owner in sets for column in sets[owner]]
    for name in names:
        matches = [full for full in every if name == full or full.partition(".")[2] == name]
        matches = matches or [full for full in every if full == f"{name}.score"]
        if name == "uid":
            matches = [f"{INDEX}.uid"]
        if len(matches) == 1:
            owner, _, column = matches[0].partition(".")
            resolved[name] = (owner, column)
        elif matches:
            problems.append(f"column {name!r} is in several column sets; write one of {', '.join(matches)}")
        else:
            known = [*every, *(full.partition(".")[2] for full in every)]
            near = similar.did_you_mean(name, known, f"there are {', '.join(sorted(sets))};")
            problems.append(f"no column set has {name!r}: {near} {(hints or {}).get(name) or hint_for(name)}")
    if problems:
        raise ConfigError(problems)
    return resolved


def to_numpy(name: str, column: pa.ChunkedArray) -> NDArray[Any]:
    """Returns a column as ``[n]``; uids as uint64 ``[n, 2]`` (zero where there is none), embeddings as ``[n, dim]``."""
    if name == "uid":
        return uid_pairs(column)
    if pa.types.is_fixed_size_list(column.type):
        return embeddings(column)
    values: NDArray[Any] = column.to_numpy()
    return values


def uid_pairs(column: pa.ChunkedArray) -> UInt64:
    """Returns uint64 ``[n, 2]`` from uids as text, straight from Arrow's memory; an empty one becomes zero.

    Raises:
      ValueError: one has neither 0 nor 32 characters, or one that is no hex digit.
    """
    return np.concatenate([np.zeros((0, 2), np.uint64), *(_uid_pairs(chunk) for chunk in column.chunks if len(chunk))])


def _uid_pairs(array: pa.Array) -> UInt64:
    lengths = np.diff(np.frombuffer(array.buffers()[1], np.int32)[array.offset :][: len(array) + 1])
    if (lengths != 32).any():
        if set(np.unique(lengths)) - {0, 32}:
            raise ValueError("every uid must have 32 hex digits")
        array = pc.if_else(pc.equal(array, ""), "0" * 32, array)
    _, offsets, digits = array.buffers()
    start = int(np.frombuffer(offsets, np.int32)[array.offset])
    return uids.pairs_of_digits(memoryview(digits)[start : start + 32 * len(array)])
