import json

import apache_beam as beam
import pytest

from transforms.lib.errors import DamagedError
from transforms.outputs import manifest, manifest_parts
from transforms.outputs.manifest import Section
from transforms.rows import FileRow

SPEC = {"name": "net", "weights_sha256": "0a"}
SCORE = Section(
    "score",
    {
        "configuration": {"model": ["net"]},
        "stamps": {"pool": "p", "models": {"net": SPEC}},
        "scored_with": {"net": {"device": "cpu"}},
    },
    {"shards": 2},
    (FileRow("columns/net/b.parquet", 2, "bb"), FileRow("columns/net/a.parquet", 1, "aa")),
)
SELECT = Section("select", {"configuration": {"seed": 1}}, {}, (FileRow("books.json", 3, "cc"),))


def test_what_is_written_is_read_as_records(tmp_path):
    manifest.write([SCORE, SELECT], str(tmp_path))
    known = manifest.read(str(tmp_path))
    assert list(known.sections) == ["score", "select"]
    score = known.section("score")
    assert (score.configuration, score.counts) == ({"model": ["net"]}, {"shards": 2})
    assert score.stamps == {"pool": "p", "models": {"net": SPEC}}
    assert (known.models, known.scored_with) == ({"net": SPEC}, {"net": {"device": "cpu"}})
    assert known.files == sorted((*SCORE.files, *SELECT.files))


def test_a_section_is_written_as_it_was_read(tmp_path):
    manifest.write([SCORE, SELECT], str(tmp_path))
    before = (tmp_path / "manifest.json").read_bytes()
    manifest.write([manifest.read(str(tmp_path)).section("score")], str(tmp_path))
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_folder_without_a_manifest_has_empty_sections(tmp_path):
    known = manifest.read(str(tmp_path))
    assert (known.sections, known.files, known.models) == ({}, [], {})
    assert known.section("score") == Section("score")


def test_a_section_that_says_little_is_read(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"score": {"outputs": {"x": {"bytes": 1, "sha256": "aa"}}}}))
    section = manifest.read(str(tmp_path)).section("score")
    assert (section.facts, section.counts, section.stamps) == ({}, {}, {})
    assert section.files == (FileRow("x", 1, "aa"),)


FILES = [FileRow(f"columns/net/{number:03d}.parquet", number, f"{number:064x}") for number in range(40)]
OTHERS = [FileRow(f"shards/{number:08d}.tar", number, "ab") for number in range(9)]


def listed(root, job, rows):
    with beam.Pipeline() as pipeline:
        section = pipeline | beam.Create(rows) | manifest.MakeSection(job, {"version": "1"}, root=str(root))
        _ = section | manifest.WriteManifest(str(root))
    return manifest.read(str(root))


def test_a_section_of_many_files_lists_them_in_parts(tmp_path, monkeypatch):
    few = listed(tmp_path / "few", "annotate/x y", [*FILES, *OTHERS])
    assert few.listed == sorted([*FILES, *OTHERS])
    assert few.parts == []
    monkeypatch.setattr(manifest_parts, "INLINE", 48)
    many = listed(tmp_path / "many", "annotate/x y", [*FILES, *OTHERS])
    assert many.listed == []
    assert many.files == few.files
    assert many.sets == few.sets == {"net": manifest_parts.list_files(FILES).sets["net"]}
    assert many.sets["net"].shards == 40
    assert {part.owner for part in many.parts} == {"", "net"}
    assert len((tmp_path / "many/manifest.json").read_bytes()) < 80 * 300


def test_parts_that_no_section_names_any_more_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_parts, "INLINE", 0)
    other = [row._replace(path=row.path.replace("/net/", "/other/")) for row in FILES[:2]]
    listed(tmp_path, "score", [*FILES, *OTHERS])
    known = listed(tmp_path, "score", other)
    assert known.files == sorted([*FILES, *other])  # a set that the last run did not write stays, other files do not
    assert sorted(known.sets) == ["net", "other"]
    present = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("manifest/**/*.parquet")}
    assert present == {part.file.path for part in known.parts}


def test_a_part_that_was_edited_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest_parts, "INLINE", 0)
    known = listed(tmp_path, "score", FILES[:1])
    (tmp_path / known.parts[0].file.path).write_bytes(b"")
    with pytest.raises(DamagedError, match="put it back, or run its job again"):
        _ = known.files


def test_a_set_is_not_whole_while_a_job_writes_it(tmp_path):
    manifest.write([manifest.section([*FILES, *OTHERS], None, "score", {}), SELECT], str(tmp_path))
    manifest.reopen(str(tmp_path), ["net", "index"])
    known = manifest.read(str(tmp_path))
    assert known.sets == {}
    assert known.files == sorted([*FILES, *OTHERS, *SELECT.files])


@pytest.mark.parametrize("inline", [0, 100])
def test_a_correction_reaches_parts_and_what_is_said_of_sets(tmp_path, monkeypatch, inline):
    monkeypatch.setattr(manifest_parts, "INLINE", inline)
    listed(tmp_path, "score", [*FILES, *OTHERS])
    now = {FILES[3].path: FILES[3]._replace(sha256="f" * 64), OTHERS[1].path: None, "unknown": OTHERS[0]}
    manifest.change(str(tmp_path), now, {"score": {"version": "2"}})
    known = manifest.read(str(tmp_path))
    wanted = [now.get(row.path, row) for row in (*FILES, *OTHERS) if row != OTHERS[1]]
    assert known.files == sorted(wanted)
    assert known.sets == manifest_parts.list_files(wanted).sets
    assert known.section("score").facts["version"] == "2"
