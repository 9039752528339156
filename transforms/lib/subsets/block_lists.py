"""Block lists: what must not be in an output, by uid, host, url, image digest or perceptual hash; as text or a table.

A list is read once per process, into sorted arrays and sets that a whole shard is compared with at once.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from transforms.lib.arrays import UInt64
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.subsets import subset_files, uid_lists
from transforms.lib.subsets.subset_files import UidRecords
from transforms.lib.subsets.urls import UrlList
from transforms.lib.uids import subset

KINDS = ("uid", "host", "url", "sha256", "phash")
"""What an entry of a block list may be, and the word before it in a text file."""

NAMES = {
    "uid": "uid",
    "host": "host",
    "url_host": "host",
    "domain": "host",
    "url": "url",
    "url_pattern": "url",
    "sha256": "sha256",
    "image_sha256": "sha256",
    "phash": "phash",
}
"""Column of a table -> what its entries are."""

_FORMS = {
    "sha256": "^[0-9a-fA-F]{64}$",
    "uid": "^([0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$",
    "host": r"^(\*\.)?[^\s/:*]+(\.[^\s/:*]+)+$",
    "url": r"^\S*(/|\*)\S*$",
}
"""What a line of a text file must look like to say what it is without a word before it; the first that fits counts."""

_CHECKS = {
    "sha256": ("^[0-9a-fA-F]{64}$", "64 hex digits"),
    "phash": ("^[0-9a-fA-F]{16}$", "16 hex digits, or a whole number in Parquet"),
    "host": (r"^(\*\.)?[^\s/*]+$", "a host name, such as example.com"),
    "url": (r"^\S+$", "a url without blanks, * standing for anything"),
}


@dataclasses.dataclass(frozen=True)
class BlockList:
    """What a file blocks.

    Attributes:
      uids: ``uids.SUBSET_DTYPE`` ``[n]``, sorted.
      images: the same of the first 128 bits of the sha256 of images.
      phashes: uint64 ``[n]``, sorted, each once.
      urls: hosts, urls and patterns.
      counts: kind of entry -> how many there are; kinds without entries are not in it.
      digests: the sha256 of images as text, 64 lower-case hex digits each.
    """

    uids: UidRecords
    images: UidRecords
    phashes: UInt64
    urls: UrlList
    counts: Mapping[str, int]
    digests: tuple[str, ...] = ()


def read(path: str, only: str = "") -> BlockList:
    """Returns the block list of a local file; read once per process, and again when the file changes.

    Args:
      path: ``.csv`` or ``.parquet`` with some of the columns ``NAMES``; ``.npy``, a subset file, whose uids are
        blocked; any other file is text, with one entry per line, ``KIND:`` before it where its form does not say what
        it is. Lines that are empty or begin with # say nothing.
      only: the one kind that every line of a text is, in any form, and that is read of a table; empty for all kinds.

    Raises:
      InputError: it cannot be read, an entry is none of these, or there is none; one line that names the entry.
    """
    about = os.stat(path)
    return _read(path, about.st_mtime_ns, about.st_size, only)


@functools.lru_cache(maxsize=4)
def _read(path: str, changed: int, size: int, only: str) -> BlockList:
    try:
        entries = _entries(path, only)
        lists = {kind: _checked(kind, values) for kind, values in entries.items()}
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot be read as a block list: {' '.join(str(error).split())}") from None
    counts = {kind: len(lists[kind]) for kind in KINDS if kind in lists and len(lists[kind])}
    if not counts:
        raise InputError("blocks nothing, for it has no entry; leave it out, or look whether it was cut short")
    none = pa.array([], pa.string())
    return BlockList(
        uids=_uids(lists.get("uid", none)),
        images=subset(image_pairs(lists.get("sha256", none))),
        phashes=_phashes(lists.get("phash", none)),
        urls=UrlList.of(lists.get("host", none), lists.get("url", none)),
        counts=counts,
        digests=tuple(text.lower() for text in lists.get("sha256", none).to_pylist()),
    )


def image_pairs(digests: pa.Array) -> UInt64:
    """Returns uint64 ``[n, 2]``, the first 128 bits of sha256 digests, 64 hex digits each; zero where there is none."""
    whole = pc.equal(pc.utf8_length(digests), 64)
    return columns.uid_pairs(pa.chunked_array([pc.if_else(whole, pc.utf8_slice_codeunits(digests, 0, 32), "")]))


def _uids(texts: pa.Array | UidRecords) -> UidRecords:
    return texts if isinstance(texts, np.ndarray) else subset(uid_lists.pairs_of(texts))


def _phashes(values: pa.Array) -> UInt64:
    if pa.types.is_integer(values.type):  # int64 holds the same bits
        numbers = values.to_numpy(zero_copy_only=False).astype(np.uint64)
    else:
        halves = columns.uid_pairs(pa.chunked_array([pc.utf8_lpad(pc.utf8_lower(values), 32, "0")]))
        numbers = halves[:, 1]
    return np.unique(numbers)


def _entries(path: str, only: str) -> dict[str, pa.Array | UidRecords]:
    """Returns kind -> entries as they are written, without blanks around them; arguments as of ``read``."""
    if path.endswith(".npy"):
        rows = subset_files.open_subset(path)
        return {"uid": subset(subset_files.pairs_in(np.asarray(rows)))}
    if path.endswith((".csv", ".parquet")):
        found = _of_table(path)
        return {kind: values for kind, values in found.items() if only in ("", kind)}
    with open(path, encoding="utf-8-sig") as file:
        return _of_lines(file.read(), only)


def _of_table(path: str) -> dict[str, pa.Array]:
    found: dict[str, list[pa.Array]] = {}
    for name, values in _columns(path):
        found.setdefault(NAMES[name], []).append(values)
    return {kind: _joined(arrays) for kind, arrays in found.items()}


def _joined(arrays: list[pa.Array]) -> pa.Array:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays([array.cast(pa.string()) for array in arrays])


def _columns(path: str) -> Iterator[tuple[str, pa.Array]]:
    """Yields the columns of a table that it knows, without their empty cells."""
    if path.endswith(".parquet"):
        with ParquetReader(path) as file:
            names = [name for name in file.schema.names if name in NAMES]
            table = file.read(names)
    else:
        with open(path, "rb") as opened:
            head = opened.readline().decode("utf-8-sig")
        listed = [name.strip().strip('"') for name in head.strip("\r\n").split(",")]
        names = [name for name in listed if name in NAMES]
        texts = pacsv.ConvertOptions(column_types=dict.fromkeys(listed, pa.string()), include_columns=names)
        alone = pacsv.ReadOptions(use_threads=False)  # a thread that outlives the interpreter ends it badly
        table = pacsv.read_csv(path, alone, convert_options=texts) if names else None
    if not names:
        raise InputError(f"has none of the columns {', '.join(NAMES)}; rename the column that names what to block")
    for name in names:
        values = table[name].combine_chunks().drop_null()
        if pa.types.is_integer(values.type) and NAMES[name] == "phash":
            yield name, values
        elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
            yield name, texts.filter(pc.not_equal(texts, ""))
        else:
            raise InputError(f"has {values.type} in {name}, expected text")


def _of_lines(text: str, only: str) -> dict[str, pa.Array]:
    lines = pc.utf8_trim_whitespace(pa.array(text.split("\n"), pa.string()))
    number = np.arange(1, len(lines) + 1)
    said = pc.invert(pc.match_substring_regex(lines, "^(#.*)?$")).to_numpy(zero_copy_only=False)
    lines, number = lines.filter(pa.array(said)), number[said]
    if only:
        return {only: pc.utf8_trim_whitespace(pc.replace_substring_regex(lines, f"^{only}:", ""))}
    left = np.ones(len(lines), bool)
    found: dict[str, list[pa.Array]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        worded = pc.starts_with(lines, f"{kind}:").to_numpy(zero_copy_only=False)
        bare = pc.utf8_slice_codeunits(lines.filter(pa.array(worded)), len(kind) + 1)
        found[kind].append(pc.utf8_trim_whitespace(bare))
        left &= ~worded
    for kind, form in _FORMS.items():
        fits = left & pc.match_substring_regex(lines, form).to_numpy(zero_copy_only=False)
        found[kind].append(lines.filter(pa.array(fits)))
        left &= ~fits
    if left.any():
        row = int(np.argmax(left))
        raise InputError(
            f"line {number[row]}, {lines[row].as_py()[:80]!r}, does not say what it is; write one of "
            f"{', '.join(f'{kind}:' for kind in KINDS)} before it"
        )
    return {kind: pa.concat_arrays(arrays) for kind, arrays in found.items()}


def _checked(kind: str, values: pa.Array | UidRecords) -> pa.Array | UidRecords:
    """Returns entries that are what they should be."""
    if isinstance(values, np.ndarray) or kind not in _CHECKS or pa.types.is_integer(values.type):
        return values
    form, words = _CHECKS[kind]
    good = pc.match_substring_regex(values, form)
    if not pc.all(good, min_count=0).as_py():
        wrong = values.filter(pc.invert(good))[0].as_py()
        raise InputError(f"{kind} {wrong[:80]!r} must be {words}")
    return values
