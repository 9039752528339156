"""Whoever wrote a column set is the only job that replaces it: the same rule for every job that writes one."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.beam_pipelines.files import digests
from tests.beam_pipelines.test_score_flyt import write_head
from tests.conftest import make_pool
from transforms.lib.columnstore import columns


@pytest.fixture(scope="module")
def writers(tmp_path_factory, tiny_network):
    """Returns job -> flags that make it write a column set, by its name; on one scored pool."""
    folder = tmp_path_factory.mktemp("writers")
    pool = make_pool(folder / "pool", shards=2, rows=12, faults=False)
    head = write_head(folder / "head")
    return folder, {
        "score": lambda name: ["--input", f"{pool}/*.tar", "--model", f"{name}={tiny_network}"],
        "annotate": lambda name: ["--columns", name],
        "cluster": lambda name: ["--k", "2", "--column", "m.image", "--name", name],
        "dedup": lambda name: ["--name", name],
        "score-flyt": lambda name: ["--head", head, "--name", name],
        "import-scores": lambda name: ["--input", folder / "table.parquet", "--name", name],
    }


@pytest.fixture
def out(winnow, writers, tmp_path):
    folder, jobs = writers
    code, _, stderr = winnow("score", "--output", tmp_path / "out", *jobs["score"]("m"))
    assert code == 0, stderr
    uids = [
        uid for path in (tmp_path / "out/columns/index").glob("*") for uid in pq.read_table(path)["uid"].to_pylist()
    ]
    pq.write_table(pa.table({"uid": uids, "quality": np.arange(len(uids), dtype=np.float32)}), folder / "table.parquet")
    return tmp_path / "out"


@pytest.mark.parametrize("first", ["score", "annotate", "cluster", "dedup", "score-flyt", "import-scores"])
def test_a_set_is_replaced_by_the_job_that_wrote_it_and_by_no_other(winnow, writers, out, first):
    jobs = writers[1]
    code, _, stderr = winnow(first, "--output", out, *jobs[first]("caption"))
    assert code == 0, stderr
    before = digests(out)
    for job, flags in jobs.items():
        code, _, stderr = winnow(job, "--output", out, *flags("caption"))
        if job == first:
            assert code == 0, stderr
            continue
        assert code == 2
        hints = {"score": "write --model OTHER=SPEC", "annotate": "leave it out, or delete it to have it made here"}
        flag = {"score": "--model", "annotate": "--columns"}.get(job, "--name")
        hint = hints.get(job, "choose another --name")
        line = f"winnow {job}: {flag} caption is a column set that `winnow {first}` wrote; {hint}"
        assert stderr.splitlines() == [line]
        assert digests(out) == before


def test_a_set_that_a_killed_job_left_unfinished_is_still_its_own(winnow, writers, out):
    jobs = writers[1]
    assert winnow("cluster", "--output", out, *jobs["cluster"]("mine"))[0] == 0
    (out / "columns/mine/00000.parquet").unlink()
    (out / "manifest.json").unlink()
    code, _, stderr = winnow("dedup", "--output", out, *jobs["dedup"]("mine"))
    assert (code, "`winnow cluster` wrote" in stderr) == (2, True)
    (out / "columns/mine/00001.parquet").write_bytes(b"cut sh")
    assert winnow("cluster", "--output", out, *jobs["cluster"]("mine"))[0] == 0


def test_curate_goes_by_the_same_rule_and_may_follow_score(winnow, writers, out):
    jobs = writers[1]
    assert winnow("import-scores", "--output", out, *jobs["import-scores"]("theirs"))[0] == 0
    flags = ["curate", "--output", out, "--recipe", "no_filter"]
    code, _, stderr = winnow(*flags, *jobs["score"]("theirs"))
    assert (code, "--model theirs is a column set that `winnow import-scores` wrote" in stderr) == (2, True)
    code, _, stderr = winnow(*flags, *jobs["score"]("m"))
    assert code == 0, stderr


def test_a_set_that_nobody_signed_is_not_replaced_either(winnow, writers, out):
    (out / "columns/mine").mkdir()
    pq.write_table(pa.table({"x": [1.0]}), out / "columns/mine/00000.parquet")
    code, _, stderr = winnow("dedup", "--output", out, *writers[1]["dedup"]("mine"))
    assert (code, "--name mine is a column set that another program, or an earlier" in stderr) == (2, True)


def test_names_that_winnow_needs_are_refused(winnow, writers, out):
    for job in ("score", "cluster", "dedup", "score-flyt", "import-scores"):
        for name in (columns.INDEX, "decisions"):
            code, _, stderr = winnow(job, "--output", out, *writers[1][job](name))
            assert (code, f"{name} is a name that Winnow needs for itself; " in stderr) == (2, True), stderr
