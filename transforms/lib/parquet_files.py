"""Parquet files, as every part of Winnow reads them: on the thread that asks, and with the checksums of pages checked.

Arrow's own threads may let go of a Python buffer after the read that made it is over. When that happens while the
interpreter ends, the process aborts ("terminate called without an active exception", exit code 134). So no other module
opens a Parquet file; ruff refuses it.

Every page of a file that Winnow writes has a checksum. The footer, which says where the pages are, has none in the
format, so a seal lies in front of it: eight bytes of a mark, and the SHA-256 of the footer. Readers of Parquet find the
footer from the end of the file, and pass over the seal.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from typing import Self

SEALED = b"winnow.sealed"
"""Key in the metadata of a schema that says that the file has a seal."""

_BATCH_ROWS = 1 << 16
_MARK = b"WINNOW\r\1"
_SEAL_BYTES = len(_MARK) + hashlib.sha256().digest_size
_END_BYTES = 8  # length of the footer, and PAR1
_TAIL_BYTES = 1 << 16  # read at once; footers of column sets are smaller


class AppendOnly(io.RawIOBase):
    """A file that Arrow writes to: it passes bytes on and counts them, because Arrow asks for its position.

    Closing it leaves what is behind it open.

    Args:
      append: takes bytes, and must not keep the view of them.
    """

    def __init__(self, append: Callable[[memoryview], Any]) -> None:
        self._append = append
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._append(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size


class ParquetWriter:
    """Writes a sealed file table by table; the footer is written at the end of a ``with`` block.

    Args:
      append: takes bytes, and must not keep the view of them.
      schema: of every table, with the metadata that is stored beside it.
      options: of pyarrow's writer.
    """

    def __init__(self, append: Callable[[memoryview], Any], schema: pa.Schema, **options: Any) -> None:
        self._append = append
        self._footer: bytearray | None = None
        sealed = schema.with_metadata({**(schema.metadata or {}), SEALED: b"1"})
        self._writer = pq.ParquetWriter(AppendOnly(self._take), sealed, write_page_checksum=True, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._footer = bytearray()
        self._writer.close()
        self._append(memoryview(_MARK + hashlib.sha256(self._footer).digest()))
        self._append(memoryview(self._footer))

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Writes a table as one row group, or as several of ``row_group_size`` rows."""
        self._writer.write_table(table, row_group_size)

    def _take(self, data: memoryview) -> None:
        if self._footer is None:
            self._append(data)
        else:
            self._footer += data


def seal_of(file: BinaryIO | pa.NativeFile) -> str:
    """Returns the seal of a Parquet file, compared with the footer: 64 hex digits; empty where there is none.

    Raises:
      ArrowInvalid: the footer is not the one that was sealed.
    """
    size = file.seek(0, 2)
    tail = _tail(file, min(size, _TAIL_BYTES))
    needed = _SEAL_BYTES + _END_BYTES + int.from_bytes(tail[-_END_BYTES:-4], "little")
    if len(tail) < needed <= size:
        tail = _tail(file, needed)
    seal, footer = tail[-needed:][:_SEAL_BYTES], tail[-needed:][_SEAL_BYTES:]
    if needed > size or not seal.startswith(_MARK):
        return ""
    digest = seal[len(_MARK) :]
    if hashlib.sha256(footer).digest() != digest:
        raise pa.ArrowInvalid("its footer is not the one that was written")
    return digest.hex()


def _tail(file: BinaryIO | pa.NativeFile, count: int) -> bytes:
    file.seek(-count, 2)
    return file.read(count)


class ParquetReader:
    """A Parquet file that is open for reading; closes a path that it opened at the end of a ``with`` block.

    Args:
      source: a local path, a seekable file, or a buffer of Arrow's.
      piece_bytes: read at once of a column; 0 reads a column of a row group whole.

    Attributes:
      seal: of the file, 64 hex digits that differ where anything but the data of pages differs; empty for a file
        without one, which is of another program or of Winnow 0.1.

    Raises:
      ArrowInvalid: it is no Parquet file, or its footer is damaged.
    """

    def __init__(self, source: str | BinaryIO | pa.NativeFile, piece_bytes: int = 0, *, foreign: bool = False) -> None:
        with contextlib.ExitStack() as stack:
            opened = stack.enter_context(open(source, "rb")) if isinstance(source, str) else source
            self.seal = seal_of(opened)
        checked = {"pre_buffer": False, "page_checksum_verification": True}
        try:
            self._file = pq.ParquetFile(source, buffer_size=piece_bytes, **checked)
        except UnicodeDecodeError:
            raise pa.ArrowInvalid("it has a column whose name is no text") from None
        if not foreign and not self.seal and SEALED in (self.schema.metadata or {}):
            raise pa.ArrowInvalid("another program wrote it again")

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
          ArrowInvalid: there are not as many rows as the footer says.
        """
        chosen: dict[str, Any] = {"columns": None if names is None else list(names), "use_threads": False}
        table = self._file.read(**chosen) if group is None else self._file.read_row_group(group, **chosen)
        rows = self.rows if group is None else self.footer.row_group(group).num_rows
        if table.num_columns and len(table) != rows:
            raise pa.ArrowInvalid(f"it has {len(table)} rows, and its footer says {rows}")
        return table

    def batches(
        self, names: Sequence[str], rows: int = _BATCH_ROWS, group: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yields columns in the order of the file, or of one row group, at most ``rows`` rows at a time.

        Errors as ``read``.
        """
        groups = None if group is None else [group]
        yield from self._file.iter_batches(rows, row_groups=groups, columns=list(names), use_threads=False)
