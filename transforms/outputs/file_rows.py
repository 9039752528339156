"""Files below an output folder, with their rows for the manifest: every ``FileRow`` is made here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from transforms.lib import stamps
from transforms.rows import FileRow
from transforms.storage import filesystem


def write(root: str, path: str, data: bytes | memoryview) -> FileRow:
    """Writes ``data`` to ``path`` below ``root``, whole or not at all, and returns its row."""
    filesystem.write_atomic(filesystem.join(root, path), data)
    return of_bytes(path, data)


def of_bytes(path: str, data: bytes | memoryview) -> FileRow:
    """Returns the row of a file that holds ``data``."""
    return FileRow(path, memoryview(data).nbytes, stamps.sha256(data))


def of_new(path: str, file: filesystem.NewFile) -> FileRow:
    """Returns the row of a file that ``filesystem.create_atomic`` gave, after its last write."""
    return FileRow(path, file.size, file.sha256)


def of_stored(root: str, path: str) -> FileRow:
    """Reads the file at ``path`` below ``root`` in pieces, and returns its row. Errors as ``filesystem.open_read``."""
    return FileRow(path, *filesystem.digest(filesystem.join(root, path)))


def of_record(path: str, record: Mapping[str, Any]) -> FileRow:
    """Returns the row of a file that a manifest, or a shard's statistics, record: ``bytes`` and ``sha256``."""
    return FileRow(path, record["bytes"], record["sha256"])


def of_table(table: pa.Table) -> list[FileRow]:
    """Returns the rows of a table of files: columns ``path``, ``size`` and ``sha256``."""
    return [FileRow(*row) for row in zip(*(table[name].to_pylist() for name in FileRow._fields), strict=True)]
