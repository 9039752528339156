"""Parquet files, as every part of Winnow reads them: on the thread that asks, and with the checksums of pages checked.

Arrow's own threads may let go of a Python buffer after the read that made it is over. When that happens while the
interpreter ends, the process aborts ("terminate called without an active exception", exit code 134). So no other module
opens a Parquet file; ruff refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from typing import Self

_BATCH_ROWS = 1 << 16


class ParquetReader:
    """A Parquet file that is open for reading; closes a path that it opened at the end of a ``with`` block.

    Args:
      source: a local path, a seekable file, or a buffer of Arrow's.

    Raises:
      ArrowInvalid: it is no Parquet file.
    """

    def __init__(self, source: str | BinaryIO | pa.NativeFile) -> None:
        self._file = pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def schema(self) -> pa.Schema:
        """The schema, as Arrow has it, with the metadata that was stored beside it."""
        return self._file.schema_arrow

    @property
    def footer(self) -> pq.FileMetaData:
        """What the footer says of row groups and columns."""
        return self._file.metadata

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self.footer.num_rows)

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return int(self.footer.num_row_groups)

    def group_rows(self) -> list[int]:
        """Returns how many rows each row group has."""
        return [self.footer.row_group(group).num_rows for group in range(self.groups)]

    def read(self, names: Sequence[str] | None = None, group: int | None = None) -> pa.Table:
        """Reads columns, all of them when ``names`` is None, of one row group or of all.

        Raises:
          OSError: a page is damaged.
        """
        chosen: dict[str, Any] = {"columns": None if names is None else list(names), "use_threads": False}
        return self._file.read(**chosen) if group is None else self._file.read_row_group(group, **chosen)

    def batches(self, names: Sequence[str], rows: int = _BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yields columns in the order of the file, at most ``rows`` rows at a time. Errors as ``read``."""
        yield from self._file.iter_batches(rows, columns=list(names), use_threads=False)
