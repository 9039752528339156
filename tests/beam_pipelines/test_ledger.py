"""The ledger says what became of every sample: where its copies are, which step dropped it, why it was rejected."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import webdataset
from pyarrow import csv

import winnow as api
from beam_pipelines import cli
from tests.beam_pipelines.test_verify import relisted
from tests.conftest import make_pool
from transforms.lib.columnstore import columns


@pytest.fixture(scope="module")
def made(tiny_network, tmp_path_factory):
    """Returns an output with samples that were kept once and more often, dropped, and rejected."""
    folder = tmp_path_factory.mktemp("ledger")
    pool, out = make_pool(folder / "pool"), folder / "out"
    flags = ["--input", f"{pool}/*.tar", "--output", str(out), "--model", f"net={tiny_network}"]
    assert cli.main(["score", *flags]) == 0
    select = ["--keep_fraction", "0.6", "--max_reject_fraction", "0.2"]
    assert cli.main(["select", "--output", str(out), *select]) == 0
    assert cli.main(["reshard", "--output", str(out), "--samples_per_shard", "7"]) == 0
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out", symlinks=True)


def keys_of(tar):
    return [sample["__key__"] for sample in webdataset.WebDataset(str(tar), shardshuffle=False)]


def test_every_place_holds_the_key_that_the_ledger_says(out):
    table = api.open(out).ledger().to_pylist()
    places = {(one["shard"], one["position"]): one["key"] for row in table for one in row["places"]}
    read = {
        (tar.name, position): key
        for tar in sorted((out / "shards").glob("*.tar"))
        for position, key in enumerate(keys_of(tar))
    }
    assert places == read
    for row in table:
        assert len(row["places"]) == row["copies"]
        assert all(place["key"].rpartition("-")[0] == row["uid"] for place in row["places"])


def test_the_outcomes_are_those_of_the_books_and_rejections_have_their_byte(out):
    table = api.open(out).ledger().to_pylist()
    books = json.loads((out / "books.json").read_text())
    outcomes = [row["outcome"] for row in table]
    assert (len(table), outcomes.count("kept")) == (books["samples"], books["kept"])
    for step, count in books["dropped"].items():
        assert [row["step"] for row in table if row["outcome"] == "dropped"].count(step) == count
    reasons = [row["reason"] for row in table if row["outcome"] == "rejected"]
    assert {reason: reasons.count(reason) for reason in reasons} == books["rejected"]
    assert reasons
    index = pq.read_table(out / "columns/index", columns=["status", "offset"]).to_pylist()
    bad = sorted(row["offset"] for row in index if row["status"] != columns.OK)
    assert sorted(row["offset"] for row in table if row["outcome"] == "rejected") == bad


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_export_writes_it(winnow, out, tmp_path, form):
    to = tmp_path / f"ledger.{form}"
    code, stdout, stderr = winnow("export", "--output", out, "--to", to, "--ledger", "true")
    assert code == 0, stderr
    assert json.loads(stdout)["samples"] == json.loads((out / "books.json").read_text())["samples"]
    table = pq.read_table(to) if form == "parquet" else csv.read_csv(to)
    whole = api.open(out).ledger()
    assert table["uid"].to_pylist() == whole["uid"].to_pylist()
    if form == "parquet":
        assert table["places"].to_pylist() == whole["places"].to_pylist()
    else:
        words = [
            " ".join(f"{p['shard']}:{p['position']}:{p['key']}" for p in row["places"]) for row in whole.to_pylist()
        ]
        assert [word or "" for word in table["places"].to_pylist()] == words


def test_export_refuses_what_a_ledger_cannot_be(winnow, out, tmp_path):
    for flags in (["--to", tmp_path / "a.npy"], ["--to", tmp_path / "a.csv", "--columns", "uid"]):
        code, _, stderr = winnow("export", "--output", out, "--ledger", "true", *flags)
        assert code == 2
        assert len(stderr.splitlines()) == 1
        assert "--ledger has columns of its own" in stderr


def test_explain_says_where_the_copies_are(winnow, out):
    row = next(row for row in api.open(out).ledger().to_pylist() if row["outcome"] == "kept")
    (place,) = row["places"]
    code, stdout, stderr = winnow("explain", row["uid"], "--output", out)
    assert code == 0
    line = f"shards/{place['shard']}:{place['position']} {place['key']}"
    assert json.loads(stdout)["samples"][0]["places"] == [line]
    assert f"  in {line}" in stderr


def test_without_shards_no_copy_has_a_place(winnow, out):
    assert winnow("select", "--output", out, "--keep_fraction", "0.2", "--max_reject_fraction", "0.2")[0] == 0
    table = api.open(out).ledger().to_pylist()
    assert any(row["copies"] for row in table)
    assert not any(row["places"] for row in table)


def test_verify_names_a_ledger_that_is_about_other_samples(winnow, out):
    assert winnow("verify", "--output", out)[0] == 0
    table = pq.read_table(out / "ledger/00000000.parquet")
    facts = columns.facts_of(table.schema)
    rows = table["row"].to_pylist()
    changed = table.set_column(2, table.schema.field("row"), [[rows[1], rows[0], *rows[2:]]])
    data = columns.to_parquet(changed.replace_schema_metadata(None), facts.pop("stamp"), **facts)
    relisted(out, "ledger/00000000.parquet", data)
    assert winnow("verify", "--output", out)[0] == 1
    (line,) = json.loads((out / "verify.json").read_text())["problems"]
    assert line.startswith("ledger/00000000.parquet is not about the samples of shards/00000000.tar")


def test_a_repeated_reshard_writes_a_lost_or_damaged_ledger_anew(winnow, out):
    sound = (out / "ledger/00000001.parquet").read_bytes()
    stats = (out / "shard_stats/00000001.json").read_bytes()
    for data in (None, sound[: len(sound) // 2], bytes([*sound[:50], sound[50] ^ 1, *sound[51:]])):
        (out / "ledger/00000001.parquet").unlink()
        if data is not None:
            (out / "ledger/00000001.parquet").write_bytes(data)
        code, stdout, _ = winnow("reshard", "--output", out, "--samples_per_shard", "7")
        assert (code, json.loads(stdout)["counters"].get("reshard.out", 0)) == (0, 0)  # no shard is copied again
        assert (out / "ledger/00000001.parquet").read_bytes() == sound
        assert (out / "shard_stats/00000001.json").read_bytes() == stats
        assert winnow("verify", "--output", out)[0] == 0


def test_fewer_shards_leave_no_ledger_behind(winnow, out):
    assert winnow("reshard", "--output", out, "--samples_per_shard", "1000")[0] == 0
    assert [path.name for path in (out / "ledger").iterdir()] == ["00000000.parquet"]
    assert winnow("verify", "--output", out)[0] == 0
