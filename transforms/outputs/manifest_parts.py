"""The manifest as records; many workers list the files of a section: inside it where they are few, else in parts.

A part is a Parquet file ``manifest/JOB/SET-XX-DIGEST.parquet`` of the files of one column set, or of none, whose paths
have a sha256 that begins with the byte ``XX``. Its name has the digest of its content, so a part is never replaced by
another one, and a section that still names it reads what it was written with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.set_record import SetRecord
from transforms.lib.errors import DamagedError
from transforms.lib.parquet_files import ParquetReader
from transforms.outputs import file_rows, stored_files
from transforms.rows import FileRow
from transforms.storage import filesystem

FOLDER = "manifest"
INLINE = 20_000
"""Files that a section lists itself, in some 3.5 MB of JSON; more of them lie in parts."""

_SCHEMA = pa.schema([("path", pa.string()), ("size", pa.int64()), ("sha256", pa.string())])
_SUFFIX = ".parquet"

Key = tuple[str, int]
"""A column set, empty for all other files, and the first byte of the sha256 of a path."""


class Part(NamedTuple):
    """A file that lists files.

    Attributes:
      file: its own row.
      owner: the column set of its files; empty for files of none.
      files: how many it lists.
    """

    file: FileRow
    owner: str
    files: int

    def as_dict(self) -> dict[str, Any]:
        """Returns what the section says of the part."""
        return {"bytes": self.file.size, "sha256": self.file.sha256, "set": self.owner, "files": self.files}

    @classmethod
    def from_dict(cls, path: str, values: Mapping[str, Any]) -> Part:
        """Returns the part that ``as_dict`` gave as ``values``."""
        return cls(file_rows.of_record(path, values), values["set"], values["files"])

    def read(self, root: str) -> list[FileRow]:
        """Reads the rows of a part.

        Raises:
          MissingError: it is not there.
          DamagedError: it is not as it was written.
        """
        uri = filesystem.join(root, self.file.path)
        with stored_files.as_written(uri):
            data = filesystem.read_bytes(uri)
            if stamps.sha256(data) != self.file.sha256:
                raise DamagedError(f"{uri} is not as it was written; put it back, or run its job again")
            table = ParquetReader(io.BytesIO(data)).read(_SCHEMA.names)
        return file_rows.of_table(table)

    def changed(self, root: str, rows: Mapping[str, FileRow | None]) -> tuple[Part, list[FileRow]]:
        """Returns the part after a correction, and those of its rows that were others; writes it where there are any.

        Args:
          root: the output folder.
          rows: path -> its row now, None where it is gone.
        """
        before = self.read(root)
        others = [row for row in before if rows.get(row.path, row) != row]
        if not others:
            return self, []
        now = [rows.get(row.path, row) for row in before]
        start = self.file.path.rpartition("-")[0]
        return _write(root, start, self.owner, [row for row in now if row is not None]), others


def corrected(
    sets: Mapping[str, SetRecord], before: Iterable[FileRow], rows: Mapping[str, FileRow | None]
) -> dict[str, SetRecord]:
    """Returns the records of column sets after a correction.

    Args:
      sets: the records.
      before: rows of files as they were.
      rows: path -> its row now, None where it is gone.
    """
    old = [row for row in before if rows.get(row.path, row) != row]
    gone, come = list_files(old).sets, list_files(filter(None, (rows[row.path] for row in old))).sets
    return {n: record - gone.get(n, SetRecord()) + come.get(n, SetRecord()) for n, record in sets.items()}


class Listed(NamedTuple):
    """Some files of a section.

    Attributes:
      rows: the files themselves, where the section lists them.
      parts: the files that list them, where it does not.
      sets: column set -> record of its files.
    """

    rows: tuple[FileRow, ...] = ()
    parts: tuple[Part, ...] = ()
    sets: Mapping[str, SetRecord] = {}

    @classmethod
    def joined(cls, some: Iterable[Listed]) -> Listed:
        """Returns all files, sorted by path."""
        rows: list[FileRow] = []
        parts: list[Part] = []
        sets: dict[str, SetRecord] = {}
        for listed in some:
            rows += listed.rows
            parts += listed.parts
            for name, record in listed.sets.items():
                sets[name] = sets.get(name, SetRecord()) + record
        return cls(tuple(sorted(rows)), tuple(sorted(parts)), dict(sorted(sets.items())))


def set_of(path: str) -> str:
    """Returns the column set that a file belongs to; "" for any other file."""
    parts = path.split("/")
    return parts[1] if parts[0] == "columns" and len(parts) > 2 else ""


def key_of(row: FileRow) -> Key:
    """Returns the part that lists a file, should its section have parts."""
    return set_of(row.path), hashlib.sha256(row.path.encode()).digest()[0]


def list_files(rows: Iterable[FileRow]) -> Listed:
    """Returns files as a section lists them itself."""
    ordered = tuple(sorted(set(rows)))
    owners = sorted({set_of(row.path) for row in ordered} - {""})
    return Listed(ordered, (), {owner: _record(owner, ordered) for owner in owners})


def _record(owner: str, rows: Iterable[FileRow]) -> SetRecord:
    folder = f"columns/{owner}/"
    own = ((row.path, row.sha256) for row in rows if row.path.startswith(folder))
    return SetRecord.of({path.removeprefix(folder).removesuffix(_SUFFIX): digest for path, digest in own})


@dataclasses.dataclass(frozen=True)
class ListPart:
    """Lists the files of one key, in the section, or in a part where the section has too many.

    Attributes:
      root: the output folder.
      job: of the section.
    """

    root: str
    job: str

    def __call__(self, keyed: tuple[Key, Iterable[FileRow]], count: int) -> Iterator[Listed]:
        (owner, byte), rows = keyed
        listed = list_files(rows)
        if count <= INLINE:
            yield listed
            return
        start = f"{FOLDER}/{self.job.replace(' ', '/')}/{owner}-{byte:02x}"
        yield Listed((), (_write(self.root, start, owner, listed.rows),), listed.sets)


def _write(root: str, start: str, owner: str, rows: Sequence[FileRow]) -> Part:
    """Writes a part; ``start`` is its path up to the digest of its content."""
    values = [list(values) for values in zip(*rows, strict=True)] if rows else [[], [], []]
    digest = stamps.stamp(files=list(rows))
    data = columns.to_parquet(pa.table(values, schema=_SCHEMA), digest)
    return Part(file_rows.write(root, f"{start}-{digest}{_SUFFIX}", data), owner, len(rows))


@dataclasses.dataclass(frozen=True)
class Section:
    """What the manifest says of one job.

    Attributes:
      job: its name; of an older section of the same job only what ``merged`` keeps stays.
      facts: JSON values: configuration, stamps, version.
      counts: JSON values that the run itself counted.
      files: the files that the job wrote, or that were finished before; but those that parts list.
      parts: what lists the others, where there are too many for one section.
      sets: column set -> record of its files, of the sets that are whole.
    """

    job: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    counts: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: tuple[FileRow, ...] = ()
    parts: tuple[Part, ...] = ()
    sets: Mapping[str, SetRecord] = dataclasses.field(default_factory=dict)

    @property
    def configuration(self) -> dict[str, Any]:
        """The flags that determined the output, by name."""
        return dict(self.facts.get("configuration", {}))

    @property
    def stamps(self) -> dict[str, Any]:
        """What the output was made from, by name."""
        return dict(self.facts.get("stamps", {}))

    def as_dict(self) -> dict[str, Any]:
        """Returns the section as JSON values, files sorted by path."""
        outputs = {file.path: {"bytes": file.size, "sha256": file.sha256} for file in sorted(self.files)}
        values = {**self.facts, "counts": self.counts, "outputs": outputs}
        if self.sets:
            values["sets"] = {name: record.as_dict() for name, record in self.sets.items()}
        if self.parts:
            values["parts"] = {part.file.path: part.as_dict() for part in self.parts}
        return values


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
      sections: job -> its section, in the order of their names.
      root: the output folder.
    """

    sections: Mapping[str, Section]
    root: str

    def section(self, job: str) -> Section:
        """Returns the section of a job; an empty one where it did not run."""
        return self.sections.get(job, Section(job))

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """Column set -> the values of the ``ModelSpec`` that made it, of those that a network made."""
        return dict(self.section("score").stamps.get("models", {}))

    @property
    def scored_with(self) -> dict[str, dict[str, Any]]:
        """Column set -> device, precision and batch size that it was scored with."""
        return dict(self.section("score").facts.get("scored_with", {}))

    @property
    def sets(self) -> dict[str, SetRecord]:
        """Column set -> record of its files, of the sets that are whole."""
        return {name: record for section in self.sections.values() for name, record in section.sets.items()}

    @property
    def parts(self) -> list[Part]:
        """What lists the files of sections that have too many."""
        return [part for section in self.sections.values() for part in section.parts]

    @property
    def listed(self) -> list[FileRow]:
        """Every file that a section lists itself, sorted by path; the last section's where two jobs wrote one."""
        rows = {row.path: row for section in self.sections.values() for row in section.files}
        return sorted(rows.values())

    @property
    def files(self) -> list[FileRow]:
        """Every file of every job, sorted by path; all parts are read."""
        rows = {row.path: row for part in self.parts for row in part.read(self.root)}
        return sorted({**rows, **{row.path: row for row in self.listed}}.values())
