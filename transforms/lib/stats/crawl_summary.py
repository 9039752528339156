"""What a crawl leaves behind for later ones: named arrays in a safetensors file, read in whole or by ranges.

Such a file is data: a JSON header and plain numbers. Nothing in it is ever unpickled. We read the header ourselves,
because the safetensors library opens local paths only, and this reads ranges of any seekable file, such as a bucket's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from transforms.lib import stamps
from transforms.lib.errors import InputError

VERSION = 2  # raise when the same columns would leave other arrays

Arrays = Mapping[str, NDArray[Any]]

_DTYPES = {"U16": "<u2", "U32": "<u4", "U64": "<u8", "I64": "<i8"}
_MAX_HEADER = 1 << 24


class CrawlSummary(Protocol):
    """Arrays of many samples, of which a reader takes what it needs."""

    def has(self, name: str) -> bool:
        """Tells whether there is an array of a name."""
        ...

    def whole(self, name: str) -> NDArray[Any]:
        """Returns an array."""
        ...

    def span(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Returns rows ``start`` to ``stop`` of an array ``[n]``."""
        ...


class SummaryView:
    """Those arrays of a ``CrawlSummary`` whose names begin with a prefix, under the rest of their names.

    Args:
      summary: the summary that has the arrays.
      prefix: start of their names, separator included.
    """

    def __init__(self, summary: CrawlSummary, prefix: str) -> None:
        self._summary = summary
        self._prefix = prefix

    def has(self, name: str) -> bool:
        """Tells whether there is an array of a name."""
        return self._summary.has(self._prefix + name)

    def whole(self, name: str) -> NDArray[Any]:
        """Returns an array."""
        return self._summary.whole(self._prefix + name)

    def span(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Returns rows ``start`` to ``stop`` of an array ``[n]``."""
        return self._summary.span(self._prefix + name, start, stop)


class SummaryFile:
    """A ``CrawlSummary`` in an open safetensors file; only the requested bytes are read.

    Args:
      file: open for reading, seekable.

    Raises:
      InputError: the file is damaged, or of another version of Winnow.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        try:
            size = int.from_bytes(file.read(8), "little")
            if not 0 < size <= _MAX_HEADER:
                raise ValueError(f"a header of {size} bytes")
            header = json.loads(file.read(size))
            facts = json.loads(header.pop("__metadata__")["winnow"])
            self._places = {
                name: (_DTYPES[one["dtype"]], *one["data_offsets"], one["shape"]) for name, one in header.items()
            }
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"summaries are damaged ({error}); run that crawl's `winnow select` again") from None
        if facts.get("version") != VERSION:
            raise InputError("summaries are of another version of Winnow; run that crawl's `winnow select` again")
        self._start = 8 + size

    def names(self) -> list[str]:
        """Returns the names of the arrays, sorted."""
        return sorted(self._places)

    def has(self, name: str) -> bool:
        """Tells whether there is an array of a name."""
        return name in self._places

    def whole(self, name: str) -> NDArray[Any]:
        """Returns an array."""
        dtype, start, stop, shape = self._places[name]
        return self._read(dtype, start, stop).reshape(shape)

    def span(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Returns rows ``start`` to ``stop`` of an array ``[n]``."""
        dtype, first, _, _ = self._places[name]
        width = np.dtype(dtype).itemsize
        return self._read(dtype, first + width * start, first + width * stop)

    def _read(self, dtype: str, start: int, stop: int) -> NDArray[Any]:
        self._file.seek(self._start + start)
        return np.frombuffer(self._file.read(stop - start), dtype)


def to_bytes(arrays: Arrays) -> bytes:
    """Returns the file of named arrays (uint16, uint32, uint64 or int64), a function of them alone."""
    tensors = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    return bytes(save(tensors, {"winnow": stamps.canonical({"version": VERSION})}))


def prefixed(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Returns the arrays under longer names, which ``SummaryView`` takes apart again."""
    return {prefix + name: array for name, array in arrays.items()}
