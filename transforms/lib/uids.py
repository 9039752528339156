"""Uids: 32 hex digits of a sample, their pairs of uint64, subset files and hashes keyed by a seed."""

from __future__ import annotations

import io
from binascii import unhexlify
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from transforms.lib.arrays import Float64, UInt64
from transforms.lib.errors import InputError

SUBSET_DTYPE = np.dtype("u8,u8")
"""Rows of a subset file, as DataComp defines it: fields f0, f1, little-endian uint64."""

_NPY_MAGIC = b"\x93NUMPY"
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class ByteWriter(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes | memoryview, /) -> int:
        """Appends bytes; returns how many."""


def pairs(uids: Sequence[str]) -> UInt64:
    """Converts uids to pairs of integers.

    Args:
      uids: n strings of 32 hex digits.

    Returns:
      uint64 ``[n, 2]``: the value of the first and of the last 16 digits.

    Raises:
      ValueError: a uid has another length or another character.
    """
    if any(len(uid) != 32 for uid in uids):
        raise ValueError("every uid must have 32 hex digits")
    return pairs_of_digits("".join(uids))


def pairs_of_digits(digits: str | memoryview) -> UInt64:
    """Converts the digits of n uids, 32 each and nothing between them; as ``pairs``, raising what it raises."""
    return np.frombuffer(unhexlify(digits), ">u8").reshape(-1, 2).astype(np.uint64)


def to_hex(pairs: UInt64) -> list[str]:
    """Converts pairs back to uids: uint64 ``[n, 2]`` to n strings of 32 lower-case hex digits."""
    digits = np.ascontiguousarray(pairs, ">u8").tobytes().hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


def subset(pairs: UInt64) -> npt.NDArray[np.void]:
    """Builds the rows of a subset file.

    Args:
      pairs: uint64 ``[n, 2]``, any order; duplicates mean copies and are kept.

    Returns:
      ``SUBSET_DTYPE`` ``[n]``, sorted by (f0, f1), which is the order of the uids as text.
    """
    rows: npt.NDArray[np.void] = np.ascontiguousarray(pairs, np.uint64).view(SUBSET_DTYPE).reshape(-1)
    found = rows[np.argsort(np.ascontiguousarray(rows["f0"]))]
    first, second = found["f0"], found["f1"]
    if ((first[1:] == first[:-1]) & (second[1:] < second[:-1])).any():  # rare: half a uid in common
        found = rows[np.lexsort((rows["f1"], rows["f0"]))]
    return found


def write_subset(file: ByteWriter, rows: npt.NDArray[np.void]) -> None:
    """Writes a subset file: ``.npy``, a header of 128 bytes and 16 bytes per row.

    Args:
      file: open for writing.
      rows: ``SUBSET_DTYPE`` ``[n]``, sorted.

    Raises:
      InputError: another dtype or shape, or not sorted.
    """
    check_subset(rows)
    file.write(subset_header(len(rows)))
    file.write(np.ascontiguousarray(rows).data)


def subset_header(count: int) -> bytes:
    """Returns the header of a subset file of ``count`` rows, 128 bytes."""
    header = io.BytesIO()
    empty = np.lib.format.header_data_from_array_1_0(np.empty(0, SUBSET_DTYPE))
    np.lib.format.write_array_header_1_0(header, {**empty, "shape": (count,)})
    return header.getvalue()


def read_subset(file: BinaryIO) -> npt.NDArray[np.void]:
    """Reads a subset file, with the ``.npy`` header or, as DataComp's resharder accepts it, without one.

    Args:
      file: open for reading; read to its end.

    Returns:
      ``SUBSET_DTYPE`` ``[n]``, sorted, read-only.

    Raises:
      InputError: a damaged header, a wrong length, another dtype or shape, pickled objects, or not sorted.
    """
    data = file.read()
    count, start = subset_layout(data, len(data))
    rows: npt.NDArray[np.void] = np.frombuffer(data, SUBSET_DTYPE, count, start)
    check_subset(rows)
    return rows


def subset_layout(head: bytes, size: int) -> tuple[int, int]:
    """Reads how a subset file is laid out.

    Args:
      head: its first 64 KiB, or more.
      size: bytes of the whole file.

    Returns:
      (rows, byte at which they start).

    Raises:
      InputError: as ``read_subset``, but for the order of the rows.
    """
    shape: tuple[int, ...] = (size // SUBSET_DTYPE.itemsize,)
    dtype = SUBSET_DTYPE
    start = 0
    if head.startswith(_NPY_MAGIC):
        shape, dtype, start = _npy_header(head)
    if dtype != SUBSET_DTYPE or len(shape) != 1:
        raise InputError(f"subset file: {dtype} {list(shape)}, expected {SUBSET_DTYPE} [n]")
    if size - start != shape[0] * SUBSET_DTYPE.itemsize:
        raise InputError(f"subset file: {size - start} bytes of rows, expected {shape[0]} rows of 16 bytes")
    return shape[0], start


def _npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    stream = io.BytesIO(data[: 1 << 16])
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise InputError(f"subset file: damaged .npy header: {error}") from error
    return shape, dtype, stream.tell()


def check_subset(rows: npt.NDArray[np.void], first_row: int = 0) -> None:
    """Checks dtype, shape and order of subset rows; ``first_row`` is the number of ``rows[0]`` in its file.

    Raises:
      InputError: another dtype or shape, or not sorted.
    """
    if rows.dtype != SUBSET_DTYPE or rows.ndim != 1:
        raise InputError(f"subset: {rows.dtype} {list(rows.shape)}, expected {SUBSET_DTYPE} [n]")
    first, second = rows["f0"], rows["f1"]
    falls = (first[1:] < first[:-1]) | ((first[1:] == first[:-1]) & (second[1:] < second[:-1]))
    if falls.any():
        raise InputError(f"subset: not sorted at row {first_row + int(np.argmax(falls)) + 1}; sort it by (f0, f1)")


def keyed_hash(pairs: UInt64, seed: int) -> UInt64:
    """Hashes uids under a seed, for sampling and for breaking ties; fixed for ever.

    With ``mix`` the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", OOPSLA 2014) and ``g`` its constant 0x9E3779B97F4A7C15, all modulo 2**64:
    ``mix((mix(f0 + mix(seed + g)) ^ f1) + g)``. Not for secrets.

    Args:
      pairs: uint64 ``[n, 2]``.
      seed: 0 .. 2**64 - 1.

    Returns:
      uint64 ``[n]``, uniform for distinct uids.

    Raises:
      ValueError: seed out of range.
    """
    if not 0 <= seed <= _MASK:
        raise ValueError(f"seed {seed} is not in 0 .. 2**64 - 1")
    golden = np.uint64(_GOLDEN)
    start = _mix(np.array([(seed + _GOLDEN) & _MASK], np.uint64))
    inner = _mix(pairs[:, 0] + start)
    return _mix((inner ^ pairs[:, 1]) + golden)


class Digest(NamedTuple):
    """What a multiset of uids adds up to: equal for equal ones in any order and split, otherwise hardly ever.

    Attributes:
      copies: uids, each as often as it stands.
      first, second: sums of their ``keyed_hash`` under two seeds, modulo 2**64.
    """

    copies: int = 0
    first: int = 0
    second: int = 0

    def __add__(self, other: object) -> Digest:
        """Returns the digest of both multisets."""
        if not isinstance(other, Digest):
            return NotImplemented
        return Digest(
            self.copies + other.copies, (self.first + other.first) & _MASK, (self.second + other.second) & _MASK
        )


def digest(pairs: UInt64) -> Digest:
    """Digests uids, uint64 ``[n, 2]`` in any order, duplicates counted."""
    sums = [int(keyed_hash(pairs, seed).sum(dtype=np.uint64)) for seed in (1, 2)]
    return Digest(len(pairs), sums[0], sums[1])


def uniform(pairs: UInt64, seed: int) -> Float64:
    """Maps uids to numbers in [0, 1), by the top 53 bits of ``keyed_hash``; float64 ``[n]``."""
    return (keyed_hash(pairs, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def stream(hashes: UInt64, number: UInt64 | int) -> UInt64:
    """Returns the ``number``-th of each uid's endless stream of random integers, by SplitMix64; fixed for ever.

    Args:
      hashes: uint64, any shape; the ``keyed_hash`` of uids.
      number: from 0; broadcast against ``hashes``.

    Returns:
      uint64: ``mix(hash + (number + 1) * g)``, in the words of ``keyed_hash``.
    """
    steps = np.atleast_1d(np.asarray(number, np.uint64)) + np.uint64(1)
    return _mix(hashes + steps * np.uint64(_GOLDEN))


def _mix(value: UInt64) -> UInt64:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
