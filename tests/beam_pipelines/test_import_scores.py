"""Scores of other tools come in, are mixed and drawn from: the whole way through the command line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from tests.beam_pipelines.files import digests
from tests.beam_pipelines.test_identity import write_pool

WORKERS = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]


@pytest.fixture
def scored(winnow, tiny_network, small_pool, tmp_path):
    out = tmp_path / "out"
    code, _, stderr = winnow(
        "score", "--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"
    )
    assert code == 0, stderr
    return out


def index_of(out):
    return pa.concat_tables([pq.read_table(path) for path in sorted((out / "columns/index").glob("*.parquet"))])


def table_for(out, path, by="uid", drop=0, **columns):
    """Writes a table that covers all readable samples but ``drop``, in an order of its own."""
    index = index_of(out)
    names = [n for n, status in zip(index[by].to_pylist(), index["status"].to_pylist(), strict=True) if status == "ok"]
    names = sorted(names)[drop:][::-1]
    random = np.random.default_rng(3)
    table = pa.table({by: names, "quality": random.normal(5, 3, len(names)), "depth": np.arange(len(names)), **columns})
    (pacsv.write_csv if str(path).endswith("csv") else pq.write_table)(table, path)
    return dict(zip(names, table["quality"].to_numpy().astype(np.float32).tolist(), strict=True))


@pytest.mark.parametrize(("by", "kind"), [("uid", "parquet"), ("key", "csv")])
def test_a_table_becomes_a_column_set_aligned_with_the_index(winnow, scored, tmp_path, by, kind):
    path = tmp_path / f"t.{kind}"
    quality = table_for(scored, path, by)
    code, stdout, stderr = winnow("import-scores", "--input", path, "--output", scored, "--by", by, "--name", "theirs")
    assert code == 0, stderr
    assert json.loads(stdout)["missing"] == 0
    for index in sorted((scored / "columns/index").glob("*.parquet")):
        names = pq.read_table(index)[by].to_pylist()
        found = pq.read_table(scored / "columns/theirs" / index.name)
        assert found.column_names == ["depth", "quality"]
        expected = [quality.get(name, np.nan) for name in names]
        np.testing.assert_array_equal(found["quality"].to_numpy(), np.array(expected, np.float32))
    listed = json.loads((scored / "manifest.json").read_text())["import-scores theirs"]["outputs"]
    assert len(listed) == 3
    assert not list(scored.glob("imports/*"))


def test_a_table_by_key_is_refused_where_shards_share_keys(winnow, tiny_network, tmp_path):
    for shard in ("a", "b"):
        write_pool(tmp_path / f"pool/{shard}.tar", range(3))
    write_pool(tmp_path / "pool/c.tar", range(10, 13))
    out = tmp_path / "out"
    flags = ["--output", out, "--model", f"net={tiny_network}"]
    assert winnow("score", "--input", f"{tmp_path}/pool/*.tar", *flags)[0] == 0
    for keys, refused in (((0, 10), True), ((10, 11, 12), False)):
        rows = "".join(f"{key:06d},{key}\n" for key in keys)
        (tmp_path / "t.csv").write_text("key,s\n" + rows)
        flags = ["--input", tmp_path / "t.csv", "--output", out, "--name", "t", "--min_coverage", "0.1"]
        code, _, stderr = winnow("import-scores", *flags, "--by", "key")
        assert code == refused, stderr
        assert ("2 samples share their key with a sample of another shard" in stderr) == refused
        assert (out / "columns/t").exists() != refused


def test_a_table_that_covers_too_little_writes_nothing_and_says_so(winnow, scored, tmp_path):
    path = tmp_path / "t.parquet"
    table_for(scored, path, drop=11)
    flags = ["import-scores", "--input", path, "--output", scored, "--name", "theirs"]
    code, _, stderr = winnow(*flags)
    assert code == 1
    assert "values for 33 of 44 samples (75 %), less than --min_coverage 1" in stderr
    assert not (scored / "columns/theirs").exists()
    code, stdout, _ = winnow(*flags, "--min_coverage", "0.75")
    assert code == 0
    assert json.loads(stdout)["missing"] == 11


def test_what_is_imported_already_is_skipped_and_what_changed_is_not(winnow, scored, tmp_path):
    path = tmp_path / "t.parquet"
    table_for(scored, path)
    flags = ["import-scores", "--input", path, "--output", scored, "--name", "theirs"]
    assert winnow(*flags)[0] == 0
    before = digests(scored)
    code, stdout, _ = winnow(*flags)
    assert code == 0
    assert json.loads(stdout)["counters"] == {}  # by the manifest nothing is to do, and no worker looks
    assert digests(scored) == before
    table_for(scored, path, extra=np.zeros(44))
    code, stdout, _ = winnow(*flags)
    assert code == 0
    assert json.loads(stdout)["counters"]["import.in"] == 44


def test_what_is_wrong_with_a_request_is_told_at_once(winnow, scored, tmp_path):
    code, _, stderr = winnow("import-scores", "--output", scored, "--input", tmp_path / "no.csv", "--by", "url")
    assert code == 2
    for expected in ("matches no file", "--by must be uid or key, got 'url'", "--name is missing"):
        assert expected in stderr
    path = tmp_path / "t.parquet"
    table_for(scored, path)
    code, _, stderr = winnow("import-scores", "--output", scored, "--input", path, "--name", "net")
    assert code == 2
    assert "--name net is a column set that `winnow score` wrote; choose another --name" in stderr


def test_tables_as_pandas_writes_them_come_in_and_what_is_left_out_is_said(winnow, scored, tmp_path):
    index = index_of(scored).to_pandas()
    frame = index[index["status"] == "ok"][["uid"]].assign(f0=1.0, f1=2.0).sample(frac=1, random_state=0)
    for kind, said in (("csv", "left out: a column without a name"), ("parquet", "left out: __index_level_0__")):
        path = tmp_path / f"t.{kind}"
        getattr(frame, f"to_{kind}")(path)
        code, _, stderr = winnow("import-scores", "--input", path, "--output", scored, "--name", kind)
        assert code == 0, stderr
        assert f"{kind}: f0, f1; 0 of 44 samples lack a value; {said}\n" in stderr
        assert pq.read_schema(scored / f"columns/{kind}/00000.parquet").names == ["f0", "f1"]


def test_imported_scores_are_mixed_and_drawn_from_alike_by_any_number_of_workers(winnow, scored, tmp_path):
    path = tmp_path / "t.csv"
    table_for(scored, path)
    assert winnow("import-scores", "--input", path, "--output", scored, "--name", "theirs")[0] == 0
    recipe = tmp_path / "mine.yaml"
    steps = [
        {"mix": {"weights": {"net": 0.8, "quality": 0.65}, "as": "mixed"}},
        {"soft_cap_sample": {"column": "mixed", "total": 100, "alpha": 0.15, "batch": 1}},
    ]
    recipe.write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": steps}))
    flags = ["select", "--output", scored, "--recipe", recipe, "--max_reject_fraction", "0.1"]
    code, stdout, stderr = winnow(*flags)
    assert code == 0, stderr
    assert json.loads(stdout)["copies"] == 100
    assert len(np.load(scored / "subset.npy")) == 100
    before = digests(scored)
    assert winnow(*flags, *WORKERS)[0] == 0
    assert digests(scored) == before
    assert winnow("reshard", "--output", scored, "--samples_per_shard", "30")[0] == 0
    assert winnow("verify", "--output", scored)[0] == 0


def test_a_published_recipe_names_what_is_missing_and_a_pool_too_small_for_it(winnow, scored, tmp_path):
    code, _, stderr = winnow("select", "--output", scored, "--recipe", "mflyt")
    assert code == 2
    assert stderr.count("no column set has") == 12
    assert "winnow score --model dfn_ft=SPEC" in stderr
    trained = (
        "`winnow train-flyt` trains a FLYT head and `winnow score-flyt` adds its score, or bring it in from a table"
    )
    assert f"no column set has 'flyt': there are index, net; {trained} with `winnow import-scores`" in stderr
    code, _, alone = winnow("select", "--output", scored, "--recipe", "flyt")
    assert (code, alone.splitlines()) == (2, [line for line in stderr.splitlines() if "has 'flyt'" in line])
    code, _, stderr = winnow("select", "--output", scored, "--recipe", "flyt", "--set", "top_fraction.column=mine.q")
    others = "`winnow score` adds a model's, `winnow score-flyt` a FLYT head's, `winnow import-scores` others"
    assert (code, others in stderr) == (2, True)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsteps:\n- soft_cap_sample: {column: score, total: 128000000}\n")
    code, _, stderr = winnow("select", "--output", scored, "--recipe", recipe, "--max_reject_fraction", "0.1")
    assert code == 1
    assert "total 128000000 is more than 44 samples can give" in stderr
    taken = tmp_path / "taken.yaml"
    taken.write_text("name: taken\nsteps:\n- mix: {weights: {score: 1}, as: image}\n")
    code, _, stderr = winnow("select", "--output", scored, "--recipe", taken)
    assert code == 2
    assert "the column 'image' that it makes is in column set net already" in stderr
