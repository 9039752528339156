"""Verify finds what is wrong: each test breaks one thing in a finished output."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import make_pool
from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.tar.writer import write_member
from transforms.outputs import sealed_json


@pytest.fixture
def finished(winnow, tiny_network, tmp_path):
    pool, out = make_pool(tmp_path / "pool", faults=False), tmp_path / "out"
    flags = ["--model", f"net={tiny_network}", "--keep_fraction", "0.5", "--samples_per_shard", "10"]
    assert winnow("curate", "--input", f"{pool}/*.tar", "--output", out, *flags)[0] == 0
    return out


def relisted(out, path, data):
    """Writes a file and its entry in the manifest, so that only its meaning is wrong."""
    (out / path).write_bytes(data)
    manifest = json.loads((out / "manifest.json").read_text())
    for job, section in manifest.items():
        if path in section["outputs"]:
            section["outputs"][path] = {"bytes": len(data), "sha256": stamps.sha256(data)}
            manifest[job] = sealed_json.sealed(section)
    (out / "manifest.json").write_text(json.dumps(manifest))


def selected(out):
    """Returns the path of the current selection, below the output, and its ID."""
    selection = json.loads((out / "selections/current.json").read_text())["id"]
    return f"selections/{selection}", selection


def problems(winnow, out, *flags):
    code, stdout, stderr = winnow("verify", "--output", out, *flags)
    assert code == 1
    assert stdout == ""
    assert "Traceback" not in stderr
    assert "checks failed, first: " in stderr
    return json.loads((out / "verify.json").read_text())["problems"]


def test_a_sound_output_passes_and_is_counted(winnow, finished):
    code, stdout, stderr = winnow("verify", "--output", finished)
    assert code == 0, stderr
    told = json.loads(stdout)
    assert (told["input_shards"], told["output_shards"], told["samples"]) == (3, 3, 24)


def test_one_flipped_byte_of_any_file_is_found(winnow, finished):
    for path in ("columns/net/00001.parquet", "subset.npy", "shards/00000001.tar", "report.html"):
        data = bytearray((finished / path).read_bytes())
        data[len(data) // 2] ^= 1
        original = (finished / path).read_bytes()
        (finished / path).write_bytes(data)
        if path != "subset.npy":
            assert any(line.startswith(path) for line in problems(winnow, finished))
        else:
            assert winnow("verify", "--output", finished)[0] != 0
        (finished / path).write_bytes(original)
    assert winnow("verify", "--output", finished)[0] == 0


def test_a_missing_file_is_found(winnow, finished):
    (finished / "columns/net/00000.parquet").unlink()
    assert "columns/net/00000.parquet is missing" in problems(winnow, finished)


def test_a_changed_member_is_found_even_when_the_manifest_agrees(winnow, finished):
    data = (finished / "shards/00000000.tar").read_bytes()
    assert b"thing number" in data
    relisted(finished, "shards/00000000.tar", data.replace(b"thing number", b"thinG number", 1))
    (line,) = problems(winnow, finished)
    assert "are not those of" in line
    assert winnow("verify", "--output", finished, "--compare_input", "false")[0] == 0


def test_a_sample_too_many_is_found(winnow, finished):
    data = (finished / "shards/00000000.tar").read_bytes()
    extra = write_member(f"{'f' * 32}-0.txt", b"stowaway")
    relisted(finished, "shards/00000000.tar", extra + data)
    found = problems(winnow, finished)
    assert any("1 are not planned" in line for line in found)
    assert any("subset.npy lists 24 copies, the shards hold 25" in line for line in found)


def test_decisions_that_do_not_add_up_to_the_books_are_found(winnow, finished):
    folder, selection = selected(finished)
    path = f"{folder}/decisions/00000.parquet"
    table = pq.read_table(finished / path)
    step = np.array(table["step"].to_pylist(), object)
    step[np.flatnonzero(step == "top_fraction")[0]] = "another"
    changed = table.set_column(1, table.schema.field("step"), [step.tolist()])
    relisted(finished, path, columns.to_parquet(changed, "s", index="i", selection=selection))
    assert any(line.startswith("books.json says") for line in problems(winnow, finished))


def test_a_selection_is_verified_before_anything_is_resharded(winnow, tiny_network, tmp_path):
    pool, out = make_pool(tmp_path / "pool", faults=False), tmp_path / "out"
    assert winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")[0] == 0
    code, _, stderr = winnow("verify", "--output", out)
    assert code == 2
    assert "holds no selection; run `winnow select`" in stderr
    assert winnow("select", "--output", out, "--keep_fraction", "0.5")[0] == 0
    code, stdout, stderr = winnow("verify", "--output", out)
    assert code == 0, stderr
    told = json.loads(stdout)
    assert (told["input_shards"], told["output_shards"], told["samples"]) == (3, 0, 24)
    kept = np.load(out / "subset.npy")
    kept["f1"][3] ^= 1
    np.save(tmp_path / "other.npy", kept)
    relisted(out, f"{selected(out)[0]}/subset.npy", (tmp_path / "other.npy").read_bytes())
    assert "subset.npy lists 24 copies, the decisions hold 24 or others" in problems(winnow, out)


def curated(winnow, tiny_network, tmp_path, data):
    """Curates one shard of these bytes, whatever is rejected; returns the output folder and what was said."""
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/0.tar").write_bytes(data)
    flags = ["--input", tmp_path / "pool/*.tar", "--recipe", "no_filter", "--max_reject_fraction", "0.9"]
    code, _, stderr = winnow("curate", *flags, "--model", f"net={tiny_network}", "--output", tmp_path / "out")
    assert code == 0, stderr
    return tmp_path / "out", stderr


def test_a_hole_in_an_input_is_said_and_fails_until_it_is_accepted(winnow, tiny_network, tmp_path):
    data = bytearray((make_pool(tmp_path / "clean", faults=False) / "00000.tar").read_bytes())
    begin = data.index(b"ustar", len(data) // 2) - 257
    data[begin : begin + 1536] = bytes(1536)
    out, stderr = curated(winnow, tiny_network, tmp_path, data)
    assert "zero bytes where members should be" in stderr
    assert any("zero bytes stand where members should be" in line for line in problems(winnow, out))
    assert winnow("verify", "--output", out, "--accept_holes", "true")[0] == 0
    tar = json.loads((out / "books.json").read_text())["tar"]
    assert tar["samples"] + tar["rejected"] + tar["others"] + tar["zeros"] == tar["size"] == len(data)
    assert tar["holes"] >= 512
    assert tar["rejected"] >= 1536


def test_two_tars_joined_and_members_of_no_sample_are_said(winnow, tiny_network, tmp_path):
    clean = make_pool(tmp_path / "clean", faults=False)
    parts = [(clean / f"0000{n}.tar").read_bytes() for n in range(2)]
    data = parts[0] + parts[1] + write_member("README", b"of nobody")
    out, stderr = curated(winnow, tiny_network, tmp_path, data)
    assert "are left out: 1\n" in stderr
    assert "are read too: 2\n" in stderr
    assert "or they are cut: 1\n" in stderr
    assert winnow("verify", "--output", out)[0] == 0


def test_a_shard_that_was_not_read_to_its_end_is_found(winnow, finished):
    path = "columns/index/00000.parquet"
    table = pq.read_table(finished / path)
    facts = columns.facts_of(table.schema)
    account = json.loads(facts["tar"])
    for name, words in (
        ("read", "was not read to its end"),
        ("zeros", "does not close"),
        ("samples", "does not close"),
    ):
        changed = json.dumps(account | {name: account[name] - 512})
        relisted(finished, path, columns.to_parquet(table.replace_schema_metadata(), **facts | {"tar": changed}))
        assert any(words in line for line in problems(winnow, finished))
    moved = account | {"samples": account["samples"] - 512, "zeros": account["zeros"] + 512}
    relisted(finished, path, columns.to_parquet(table.replace_schema_metadata(), **facts | {"tar": json.dumps(moved)}))
    assert any("its rows cover" in line for line in problems(winnow, finished))
