"""The manifest: the settings, inputs and counts of each job, and the sha256 of every output.

Each section says its own digest, so that one job neither reads nor keeps what somebody edited.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.columnstore.set_record import SetRecord
from transforms.lib.errors import DamagedError, InputError
from transforms.outputs import file_rows, sealed_json
from transforms.outputs.manifest_parts import Listed, ListPart, corrected, key_of, list_files, set_of
from transforms.outputs.manifest_parts import Manifest as Manifest
from transforms.outputs.manifest_parts import Part as Part
from transforms.outputs.manifest_parts import Section as Section
from transforms.rows import FileRow
from transforms.storage import filesystem, versions

NAME = "manifest.json"
_NOT_FACTS = ("counts", "outputs", "parts", "sets", sealed_json.FIELD)


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
        return Manifest({job: _section_of(job, values) for job, values in document.items()}, root)
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
    facts = {name: value for name, value in values.items() if name not in _NOT_FACTS}
    outputs = values.get("outputs", {})
    rows = tuple(file_rows.of_record(path, file) for path, file in sorted(outputs.items()))
    parts = tuple(Part.from_dict(path, part) for path, part in sorted(values.get("parts", {}).items()))
    sets = {name: SetRecord.from_dict(record) for name, record in values.get("sets", {}).items()}
    return Section(job, facts, values.get("counts", {}), rows, parts, sets)


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
    replaced = {"", *map(set_of, now["outputs"]), *now.get("sets", {})}
    kept = {path: file for path, file in before.get("outputs", {}).items() if set_of(path) not in replaced}
    parts = {path: part for path, part in before.get("parts", {}).items() if part["set"] not in replaced}
    if not kept and not parts:
        return dict(now)
    owners = {*map(set_of, kept), *(part["set"] for part in parts.values())}

    def joined(earlier: Mapping[str, Any], present: Mapping[str, Any], name: str) -> dict[str, Any]:
        return {name: {**{n: v for n, v in earlier.get(name, {}).items() if n in owners}, **present.get(name, {})}}

    models = joined(before.get("stamps", {}), now.get("stamps", {}), "models")
    facts = {"stamps": {**now.get("stamps", {}), **models}, **joined(before, now, "scored_with")}
    facts |= joined(before, now, "sets") if "sets" in before or "sets" in now else {}
    facts |= {"parts": {**parts, **now.get("parts", {})}} if parts or "parts" in now else {}
    return {**now, **facts, "outputs": {**kept, **now["outputs"]}}


def write(sections: Sequence[Section], root: str) -> None:
    """Writes the sections of these jobs into the manifest; the file is sorted and holds no time.

    Sections that other jobs write at the same time stay. Parts that no section names any more are deleted.

    Raises:
      DamagedError: the section that was there was edited.
    """
    dropped: set[str] = set()

    def added(data: bytes | None) -> bytes:
        document = {} if data is None else dict(json.loads(data))
        for section in sections:
            before = document.get(section.job, {})
            _check(section.job, before, root)
            document[section.job] = sealed_json.sealed(merged(before, section.as_dict()))
            dropped.update(before.get("parts", {}))
        dropped.difference_update(path for section in document.values() for path in section.get("parts", {}))
        return _bytes(document)

    versions.update(filesystem.join(root, NAME), added)
    filesystem.discard([filesystem.join(root, path) for path in sorted(dropped)])


def _bytes(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def reopen(root: str, names: Iterable[str]) -> None:
    """Takes back that column sets are whole, before a job writes files of them; it says so again at its end."""
    names = set(names)
    if not names & read(root).sets.keys():
        return

    def taken_back(data: bytes | None) -> bytes:
        document = {} if data is None else dict(json.loads(data))
        for job, values in document.items():
            if names & values.get("sets", {}).keys():
                _check(job, values, root)
                sets = {name: record for name, record in values["sets"].items() if name not in names}
                document[job] = sealed_json.sealed({**values, "sets": sets})
        return _bytes(document)

    versions.update(filesystem.join(root, NAME), taken_back)


def change(root: str, rows: Mapping[str, FileRow | None], facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Corrects what the manifest says of files that were written again since their jobs ended.

    Args:
      root: the output folder.
      rows: path -> its row now, None where it is gone; paths that no job listed are left out.
      facts: job -> values of its section that are now others, of jobs that ran.

    Raises:
      DamagedError: a section was edited.
    """

    parts = {part.file.path: part.changed(root, rows) for part in read(root).parts}

    def changed(data: bytes | None) -> bytes:
        document = dict(json.loads(data or b"{}"))
        for job, values in document.items():
            _check(job, values, root)
            section = _section_of(job, values)
            kept = [rows.get(row.path, row) for row in section.files]
            found = [parts[part.file.path] for part in section.parts]
            now = dataclasses.replace(
                section,
                facts={**section.facts, **facts.get(job, {})},
                files=tuple(row for row in kept if row is not None),
                parts=tuple(part for part, _ in found),
                sets=corrected(section.sets, [*section.files, *(row for _, before in found for row in before)], rows),
            )
            document[job] = sealed_json.sealed(now.as_dict())
        return _bytes(document)

    versions.update(filesystem.join(root, NAME), changed)


def section(files: Sequence[FileRow], counts: dict[str, Any] | None, job: str, facts: dict[str, Any]) -> Section:
    """Returns one job's section, which lists these files itself."""
    return _section([list_files(files)], counts, job, facts)


def _section(listed: Iterable[Listed], counts: dict[str, Any] | None, job: str, facts: dict[str, Any]) -> Section:
    return Section(job, facts, counts or {}, *Listed.joined(listed))


@dataclasses.dataclass(eq=False)
class MakeSection(beam.PTransform):
    """Gathers the files of a job into its section: ``FileRow`` rows in, one ``Section`` out.

    Cost: 150 bytes per file are shuffled. Of more than ``INLINE`` files a worker holds a 256th of those of one column
    set, and the section some 768 parts.

    Attributes:
      job: its name.
      facts: as in ``Section``.
      counts: singleton of counts, or None.
      root: the output folder.
    """

    job: str
    facts: dict[str, Any]
    counts: beam.PCollection[dict[str, Any]] | None = None
    _: dataclasses.KW_ONLY
    root: str

    def expand(self, files: beam.PCollection[FileRow]) -> beam.PCollection[Section]:
        counts = None if self.counts is None else AsSingleton(self.counts)
        count = files | "CountFiles" >> beam.combiners.Count.Globally()
        return (
            files
            | "ByPart" >> beam.WithKeys(key_of).with_output_types(tuple[tuple[str, int], FileRow])
            | "GroupFiles" >> beam.GroupByKey()
            | "ListFiles" >> beam.FlatMap(ListPart(self.root, self.job).__call__, AsSingleton(count))
            | "AllFiles" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
            | "Section" >> beam.Map(_section, counts, self.job, self.facts)
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
