"""The manifest: the settings, inputs and counts of each job, and the sha256 of every output.

Each section says its own digest, so that one job neither reads nor keeps what somebody edited.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.errors import DamagedError, InputError
from transforms.outputs import file_rows, sealed_json
from transforms.rows import FileRow
from transforms.storage import filesystem, versions

NAME = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Section:
    """What the manifest says of one job.

    Attributes:
      job: its name; of an older section of the same job only what ``merged`` keeps stays.
      facts: JSON values: configuration, stamps, version.
      counts: JSON values that the run itself counted.
      files: every file that the job wrote, or that was finished before.
    """

    job: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    counts: dict[str, Any] = dataclasses.field(default_factory=dict)
    files: tuple[FileRow, ...] = ()

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
        return {**self.facts, "counts": self.counts, "outputs": outputs}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
      sections: job -> its section, in the order of their names.
    """

    sections: Mapping[str, Section]

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
    def files(self) -> list[FileRow]:
        """Every file of every job, sorted by path; the last section's where two jobs wrote one."""
        rows = {row.path: row for section in self.sections.values() for row in section.files}
        return sorted(rows.values())


def read(root: str) -> Manifest:
    """Reads the manifest below ``root``; one without sections when there is none.

    Raises:
      InputError: it is no manifest.
      DamagedError: a section was edited.
    """
    try:
        document = _document(root)
        for job, values in document.items():
            _check(job, values, root)
        return Manifest({job: _section_of(job, values) for job, values in document.items()})
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{filesystem.join(root, NAME)} is not as it was written; put it back") from None


def _check(job: str, values: Mapping[str, Any], root: str) -> None:
    """Checks that a section is as its job wrote it."""
    if not sealed_json.is_as_written(values):
        raise DamagedError(
            f"{filesystem.join(root, NAME)} is not as it was written: its section `{job}` was edited; put the file "
            "back, or delete it and run its jobs again, which skip what is done"
        )


def _section_of(job: str, values: Mapping[str, Any]) -> Section:
    """Returns the section that ``Section.as_dict`` gave as ``values``."""
    facts = {name: value for name, value in values.items() if name not in ("counts", "outputs", sealed_json.FIELD)}
    outputs = values.get("outputs", {})
    rows = tuple(file_rows.of_record(path, file) for path, file in sorted(outputs.items()))
    return Section(job, facts, values.get("counts", {}), rows)


def _document(root: str) -> dict[str, Any]:
    """Returns the JSON values of the manifest below ``root``; empty when there is none."""
    uri = filesystem.join(root, NAME)
    data = filesystem.read_if_exists(uri)
    try:
        document = {} if data is None else json.loads(data)
        whole = isinstance(document, dict) and all(isinstance(section, dict) for section in document.values())
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{uri} is not as it was written: it is no JSON object of jobs; put it back")
    return dict(document)


def digests(root: str) -> dict[str, str]:
    """Returns section -> the digest that it says of itself; empty where there is no manifest.

    Raises:
      InputError: it is no manifest.
    """
    return {job: str(values.get(sealed_json.FIELD, "")) for job, values in _document(root).items()}


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a job's section with what an earlier run of it wrote into column sets that this run does not write.

    Such files are there as before, so they stay among the outputs, to be verified; and so does what is said of each of
    their sets: ``stamps.models`` and ``scored_with``. All else is said of the last run.

    Args:
      before: the section as it was; empty for none.
      now: the section of the run that ends.
    """
    sets = {_set_of(path) for path in now["outputs"]}
    kept = {path: file for path, file in before.get("outputs", {}).items() if _set_of(path) not in {"", *sets}}
    if not kept:
        return dict(now)
    owners = {_set_of(path) for path in kept}

    def joined(earlier: Mapping[str, Any], present: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {name: {**{n: v for n, v in earlier.get(name, {}).items() if n in owners}, **present.get(name, {})}}

    models = joined(before.get("stamps", {}), now.get("stamps", {}), "models")
    facts = {"stamps": {**now.get("stamps", {}), **models}, **joined(before, now, "scored_with")}
    return {**now, **facts, "outputs": {**kept, **now["outputs"]}}


def _set_of(path: str) -> str:
    """Returns the column set that a file belongs to; "" for any other file."""
    parts = path.split("/")
    return parts[1] if parts[0] == "columns" and len(parts) > 2 else ""


def write(sections: Sequence[Section], root: str) -> None:
    """Writes the sections of these jobs into the manifest; the file is sorted and holds no time.

    Sections that other jobs write at the same time stay.

    Raises:
      DamagedError: the section that was there was edited.
    """

    def added(data: bytes | None) -> bytes:
        document = {} if data is None else dict(json.loads(data))
        for section in sections:
            before = document.get(section.job, {})
            _check(section.job, before, root)
            document[section.job] = sealed_json.sealed(merged(before, section.as_dict()))
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    versions.update(filesystem.join(root, NAME), added)


def change(root: str, rows: Mapping[str, FileRow | None], facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Corrects what the manifest says of files that were written again since their jobs ended.

    Args:
      root: the output folder.
      rows: path -> its row now, None where it is gone; paths that no job listed are left out.
      facts: job -> values of its section that are now others, of jobs that ran.

    Raises:
      DamagedError: a section was edited.
    """

    def changed(data: bytes | None) -> bytes:
        document = dict(json.loads(data or b"{}"))
        for job, values in document.items():
            _check(job, values, root)
            outputs = {path: rows.get(path, file) for path, file in values["outputs"].items()}
            listed = {
                path: {"bytes": file.size, "sha256": file.sha256} if isinstance(file, FileRow) else file
                for path, file in outputs.items()
                if file is not None
            }
            document[job] = sealed_json.sealed({**values, **facts.get(job, {}), "outputs": listed})
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    versions.update(filesystem.join(root, NAME), changed)


def section(files: Sequence[FileRow], counts: dict[str, Any] | None, job: str, facts: dict[str, Any]) -> Section:
    """Returns one job's section."""
    return Section(job, facts, counts or {}, tuple(files))


@dataclasses.dataclass(eq=False)
class MakeSection(beam.PTransform):
    """Gathers the files of a job into its section: ``FileRow`` rows in, one ``Section`` out.

    Attributes:
      job: its name.
      facts: as in ``Section``.
      counts: singleton of counts, or None.
    """

    job: str
    facts: dict[str, Any]
    counts: beam.PCollection[dict[str, Any]] | None = None

    def expand(self, files: beam.PCollection[FileRow]) -> beam.PCollection[Section]:
        counts = None if self.counts is None else AsSingleton(self.counts)
        return (
            files
            | "AllFiles" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Section" >> beam.Map(section, counts, self.job, self.facts)
        )


@dataclasses.dataclass(eq=False)
class WriteManifest(beam.PTransform):
    """Writes ``manifest.json`` once all sections are there: ``Section`` rows in, nothing out.

    Attributes:
      root: the output folder.
    """

    root: str

    def expand(self, sections: beam.PCollection[Section]) -> beam.PCollection[None]:
        return (
            sections
            | "AllSections" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Write" >> beam.Map(write, self.root)
        )
