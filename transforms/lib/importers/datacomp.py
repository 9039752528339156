"""DataComp's published metadata: a Parquet file of samples, and beside it an npz file of their embeddings.

Source: Gadre et al. 2023, arXiv:2304.14108, appendix D and E; the columns and keys are those of the published files,
which dataset2metadata wrote.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Float32
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError, Reason
from transforms.lib.parquet_files import ParquetReader

SET = "datacomp"
"""Column set of what the index has no place for: url, scores, face boxes, and whatever else the files hold."""

SCORES = {"clip_b32": "clip_b32_similarity_score", "clip_l14": "clip_l14_similarity_score"}
"""Column set of embeddings -> column of its score."""

KEYS = {"clip_b32": ("b32_img", "b32_txt"), "clip_l14": ("l14_img", "l14_txt")}
"""Column set of embeddings -> keys of its image and text embeddings in the npz."""

INDEXED = {
    "uid": "uid",
    "key": "uid",
    "caption": "text",
    "image_sha256": "sha256",
    "original_width": "original_width",
    "original_height": "original_height",
}
"""Column of the index -> column of the metadata."""

_TEXT = (pa.types.is_string, pa.types.is_large_string)
_NUMBER = (pa.types.is_integer, pa.types.is_floating)
_NEEDED = {
    "uid": _TEXT,
    "text": _TEXT,
    "original_width": _NUMBER,
    "original_height": _NUMBER,
    "clip_b32_similarity_score": (pa.types.is_floating,),
    "clip_l14_similarity_score": (pa.types.is_floating,),
}
_WORDS = {_TEXT: "text", _NUMBER: "numbers"}
_CHUNK_ROWS = 4096  # of embeddings held at once: 50 MB of the larger network
_PLAIN = 32


def schema_problems(schema: pa.Schema) -> list[str]:
    """Returns what is wrong with the columns of a metadata file, one line each; ``url``, ``sha256`` may lack."""
    lacking = [name for name in _NEEDED if name not in schema.names]
    problems = [f"has no column {', '.join(lacking)}; it is not DataComp's metadata"] if lacking else []
    optional = {"sha256": _TEXT} if "sha256" in schema.names else {}
    for name, allowed in {**_NEEDED, **optional}.items():
        if name not in lacking and not any(test(schema.field(name).type) for test in allowed):
            problems.append(f"has {schema.field(name).type} in {name}, expected {_WORDS.get(allowed, 'floats')}")
    return problems


def index_columns(schema: pa.Schema) -> dict[str, str]:
    """Returns column of the index -> column of a metadata file that has it."""
    return {name: source for name, source in INDEXED.items() if source in schema.names}


def set_schema(schema: pa.Schema) -> pa.Schema:
    """Returns the schema of the column set ``datacomp``: every column that the index has no place for."""
    return pa.schema([field.remove_metadata() for field in schema if field.name not in INDEXED.values()])


def is_plain(uid: pa.ChunkedArray) -> bool:
    """Tells whether every uid is 32 lower-case hex digits, as published, so that the column can be used as it is."""
    if uid.null_count or not pc.all(pc.equal(pc.ascii_lower(uid), uid), min_count=0).as_py():
        return False
    if len(uid) and pc.min_max(pc.binary_length(uid)).as_py() != {"min": _PLAIN, "max": _PLAIN}:
        return False
    try:
        columns.uid_pairs(uid)
    except ValueError:
        return False
    return True


def mended(index: pa.Table) -> pa.Table:
    """Returns an index with uids as Winnow writes them.

    Digits become lower-case, zeros that a reader of numbers cut off on the left are put back; a sample whose uid is
    not 1 to 32 hex digits is rejected as ``uid_invalid``, and its uid is empty.

    Args:
      index: as read through a view of the metadata, ``INDEX_SCHEMA``.
    """
    given = index["uid"]
    digits = pc.utf8_lower(given)
    good = pc.match_substring_regex(digits, "^[0-9a-f]{1,32}$")
    changed = {
        "uid": pc.if_else(good, pc.utf8_lpad(digits, _PLAIN, "0"), ""),
        "status": pc.if_else(good, index["status"], Reason.UID_INVALID.value),
        "detail": pc.if_else(good, "", pc.utf8_slice_codeunits(given, 0, 100)),
    }
    for name, values in changed.items():
        place = index.schema.get_field_index(name)
        index = index.set_column(place, index.schema.field(name), values)
    return index


class NpzArray(NamedTuple):
    """An array of an npz file: rows, columns, type of its values."""

    rows: int
    dim: int
    dtype: np.dtype[np.generic]


def _member(file: IO[bytes], key: str) -> NpzArray:
    """Reads the header of an array, and leaves ``file`` at its first row.

    Raises:
      ValueError: it is not a matrix of floats, row by row; pickled objects are none.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if len(shape) != 2 or dtype.kind != "f" or (fortran and min(shape) > 1):
        raise ValueError(f"{key} is {dtype} {list(shape)}, expected floats [rows, dimensions]")
    return NpzArray(shape[0], shape[1], dtype)


def npz_problems(file: BinaryIO, sets: tuple[str, ...], rows: int) -> list[str]:
    """Returns what is wrong with an npz file, one line each, reading the headers of its arrays only.

    Args:
      file: seekable.
      sets: column sets of embeddings that it is to fill.
      rows: of the Parquet file beside it.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            lacking = [key for name in sets for key in KEYS[name] if f"{key}.npy" not in names]
            if lacking:
                return [f"has no array {', '.join(lacking)}; it is not DataComp's, or use --embeddings"]
            headers = {name: [_header(archive, key) for key in KEYS[name]] for name in sets}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        return [f"cannot be read: {' '.join(str(error).split())}; download it again"]
    problems = []
    for name, (image, text) in headers.items():
        if image.dim != text.dim:
            problems.append(f"has {image.dim} dimensions of images and {text.dim} of texts in {name}")
        if {image.rows, text.rows} != {rows}:
            problems.append(
                f"has {image.rows} images and {text.rows} texts in {name}, and the Parquet file beside it {rows} rows; "
                "download both again"
            )
    return problems


def _header(archive: zipfile.ZipFile, key: str) -> NpzArray:
    with archive.open(f"{key}.npy") as member:
        return _member(member, key)


def dim_of(file: BinaryIO, name: str) -> int:
    """Returns the dimensions of a column set of embeddings in an npz file that has no problems."""
    with zipfile.ZipFile(file) as archive:
        return _header(archive, KEYS[name][0]).dim


def embedding_tables(file: BinaryIO, name: str, score: Float32) -> Iterator[pa.Table]:
    """Yields a column set of embeddings piece by piece, 4,096 rows each.

    The arrays of an npz are compressed one by one, so image and text are decompressed side by side and neither is ever
    held whole. Nothing is unpickled.

    Args:
      file: npz without problems, seekable; of the threads of a process one may read it.
      name: of the column set.
      score: float32 ``[n]``, from the Parquet file.

    Yields:
      tables of ``columns.score_schema``; embeddings are rounded to float16, of which the published ones are.
    """
    image_key, text_key = KEYS[name]
    with (
        zipfile.ZipFile(file) as archive,
        archive.open(f"{image_key}.npy") as image_file,
        archive.open(f"{text_key}.npy") as text_file,
    ):
        image, text = _member(image_file, image_key), _member(text_file, text_key)
        for start in range(0, len(score), _CHUNK_ROWS):
            part = score[start : start + _CHUNK_ROWS]
            images = _rows(image_file, image, len(part), name)
            yield columns.score_table(part, images, _rows(text_file, text, len(part), name))


def _rows(file: IO[bytes], member: NpzArray, count: int, name: str) -> NDArray[np.float16]:
    size = count * member.dim * member.dtype.itemsize
    try:
        data = file.read(size)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"the npz of {name} is damaged ({error}); download it again") from None
    if len(data) != size:
        raise InputError(f"the npz of {name} ends early; download it again")
    return np.frombuffer(data, member.dtype).reshape(count, member.dim).astype(np.float16)


def score_column(file: BinaryIO, name: str) -> Float32:
    """Returns the score of a column set of embeddings, float32 ``[n]``, NaN where it is missing, from the metadata."""
    values: Float32 = ParquetReader(file).read([SCORES[name]])[SCORES[name]].to_numpy().astype(np.float32)
    return values


def read_uids(file: BinaryIO) -> pa.ChunkedArray:
    """Returns the uids of a metadata file as they are written there."""
    return ParquetReader(file).read(["uid"])["uid"].cast(pa.string())
