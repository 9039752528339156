"""``winnow export`` and ``winnow.open`` give one table of what the column sets and the decisions hold."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import winnow as api
from beam_pipelines import cli
from tests.conftest import make_pool

DEFAULT = ["uid", "key", "shard", "caption", "status", "net.score", "step", "margin", "copies"]


@pytest.fixture(scope="module")
def made(tiny_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    pool, out = make_pool(folder / "pool"), folder / "out"
    flags = ["--input", f"{pool}/*.tar", "--output", str(out), "--model", f"net={tiny_network}"]
    assert cli.main(["score", *flags]) == 0
    for name, share in (("current", "0.5"), ("few", "0.2")):
        flags = ["--keep_fraction", share, "--max_reject_fraction", "0.2", "--name", name]
        assert cli.main(["select", "--output", str(out), *flags]) == 0
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out", symlinks=True)


def stored(out, folder, column):
    """Returns a column of every shard, read by pyarrow alone."""
    files = sorted((out / folder).glob("*.parquet"))
    return [value for file in files for value in pq.read_table(file)[column].to_pylist()]


def same(one, other):
    """Returns whether two tables are equal, where NaN equals NaN."""
    return one.schema.equals(other.schema) and one.to_pandas().equals(other.to_pandas())


def test_the_table_holds_what_the_files_hold(out):
    table = api.open(out).table()
    assert table.column_names == DEFAULT
    for name in ("uid", "key", "caption", "status"):
        assert table[name].to_pylist() == stored(out, "columns/index", name)
    np.testing.assert_array_equal(table["net.score"], stored(out, "columns/net", "score"))
    for name in ("step", "copies"):
        assert table[name].to_pylist() == stored(out, "decisions", name)
    assert set(table["shard"].to_pylist()) == {"00000", "00001", "00002"}
    assert "image_undecodable" in table["status"].to_pylist()
    assert len(table.to_pandas()) == len(table)


def test_a_selection_is_chosen_by_name(out):
    few = api.open(str(out), selection="few").table(["copies"])
    (folder,) = [path.parent for path in (out / "selections").glob("*/books.json")
                 if path.parent.name == json.loads((out / "selections/few.json").read_text())["id"]]  # fmt: skip
    assert few["copies"].to_pylist() == stored(out, folder.relative_to(out) / "decisions", "copies")
    assert few != api.open(out).table(["copies"])


def test_batches_come_shard_by_shard_and_make_the_same_table(out):
    opened = api.open(out)
    batches = list(opened.batches())
    assert len(batches) == 3
    assert all(len(set(batch["shard"].to_pylist())) == 1 for batch in batches)
    assert same(pa.Table.from_batches(batches), opened.table())
    one = opened.table(shards=["00001"])
    assert same(one, pa.Table.from_batches(batches[1:2]))


def test_embeddings_are_row_aligned_with_the_table(out):
    opened = api.open(out)
    embeddings, status = opened.embeddings("net.image"), opened.table(["status"])["status"].to_numpy()
    assert (embeddings.shape, embeddings.dtype) == ((len(status), 16), np.float16)
    np.testing.assert_array_equal((embeddings != 0).any(1), status == "ok")
    np.testing.assert_array_equal(embeddings, np.array(stored(out, "columns/net", "image"), np.float16))


def test_a_pool_without_a_selection_has_a_table_without_decisions(out):
    shutil.rmtree(out / "selections")
    for path in (out / "decisions", out / "books.json"):
        path.unlink()
    assert api.open(out).table().column_names == DEFAULT[:-3]
    with pytest.raises(api.ConfigError, match="holds no selection"):
        api.open(out).table(["copies"])


def test_every_problem_is_in_one_error(out):
    with pytest.raises(api.ConfigError) as caught:
        api.open(out).table(["uid", "net.scor"], shards=["0001"])
    assert len(caught.value.problems) == 2
    assert "did you mean net.score?" in caught.value.problems[0]
    assert "did you mean 00001?" in caught.value.problems[1]
    with pytest.raises(api.ConfigError, match="no scored pool"):
        api.open(out.parent / "nothing")
    with pytest.raises(api.ConfigError, match="no such selection"):
        api.open(out, selection="none")
    with pytest.raises(api.ConfigError, match="holds no embeddings"):
        api.open(out).embeddings("net.score")


def test_an_export_is_that_table(winnow, out, tmp_path):
    table = api.open(out).table()
    code, stdout, stderr = winnow("export", "--output", out, "--to", tmp_path / "all.parquet")
    assert code == 0, stderr
    assert json.loads(stdout)["samples"] == len(table)
    assert same(pq.read_table(tmp_path / "all.parquet"), table)
    code, _, stderr = winnow("export", "--output", out, "--to", tmp_path / "all.csv", "--columns", "uid,caption,copies")
    assert code == 0, stderr
    types = csv.ConvertOptions(column_types={"uid": pa.string(), "copies": pa.uint16()})
    assert csv.read_csv(tmp_path / "all.csv", convert_options=types).equals(table.select(["uid", "caption", "copies"]))


def test_embeddings_are_exported_as_float32(winnow, out, tmp_path):
    code, _, stderr = winnow("export", "--output", out, "--to", tmp_path / "image.npy", "--columns", "net.image")
    assert code == 0, stderr
    written = np.load(tmp_path / "image.npy")
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, api.open(out).embeddings("net.image"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to", "x.txt"], "does not end in .parquet, .csv, .npy; give --format"),
        (["--to", "x.npy"], "--columns must name one column"),
        (["--to", "x.npy", "--columns", "caption"], "caption holds no numbers"),
        (["--to", "x.csv", "--columns", "uid,net.image"], "net.image holds lists"),
        (["--to", "x.csv", "--columns", "nosuch"], "no column set has 'nosuch'"),
        (["--to", "x.csv", "--selection", "none"], "no such selection"),
    ],
)
def test_what_cannot_be_exported_is_refused(winnow, out, tmp_path, monkeypatch, flags, said):
    monkeypatch.chdir(tmp_path)
    code, _, stderr = winnow("export", "--output", out, *flags)
    assert code == 2
    assert said in stderr
    assert not list(tmp_path.glob("x.*"))
