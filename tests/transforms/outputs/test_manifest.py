import json

from transforms.outputs import manifest
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
