"""Uids that name several samples, and subset files of which nothing or only a part is in the pool."""

import json
from collections import Counter

import numpy as np
import pytest

from tests.beam_pipelines.test_identity import write_pool
from tests.beam_pipelines.test_reshard_subset import members, subset_file
from transforms.lib import uids


def uid(number):
    return f"{number:032x}"


@pytest.fixture
def pool(tmp_path):
    """Three shards of four samples; uids 1 and 2 name three samples each, in two shards, and 5 two of one shard."""
    for shard, named in enumerate(([1, 1, 2, 3], [4, 5, 5, 2], [1, 6, 2, 7])):
        numbers = range(10 * shard, 10 * shard + 4)
        write_pool(
            tmp_path / f"pool/{shard}.tar",
            numbers,
            lambda number, named=named, shard=shard: {"uid": uid(named[number - 10 * shard])},
        )
    return tmp_path / "pool"


def copies(output):
    return Counter(key.partition("-")[0] for key in members(output / "shards"))


@pytest.fixture
def reshard(winnow, pool, tmp_path):
    def reshard(listed, *flags):
        subset = subset_file(tmp_path / "s.npy", [uid(number) for number in listed])
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        code, _, stderr = winnow("reshard", "--input", f"{pool}/*.tar", "--subset", subset, "--output", out, *flags)
        return code, stderr, out

    return reshard


def test_repeated_uids_are_counted_and_said(reshard, winnow, pool):
    code, stderr, out = reshard([1, 2, 2, 3, 4, 5])
    assert code == 0, stderr
    assert copies(out) == {uid(1): 3, uid(2): 6, uid(3): 1, uid(4): 1, uid(5): 2}
    books = json.loads((out / "books.json").read_text())
    assert books["repeated_uids"] == {"uids": 3, "samples": 8, "copies": 11}
    assert (books["kept"], books["copies"]) == (10, 13)
    line = "8 of the kept samples share 3 uids, and have 11 copies; --on_repeated_uid first keeps the first sample"
    assert line in stderr
    assert line in (out / "report.html").read_text()
    assert winnow("verify", "--output", out)[0] == 0


def test_nothing_is_said_where_no_uid_is_repeated(reshard):
    code, stderr, out = reshard([3, 3, 4, 6])
    assert code == 0, stderr
    assert "repeated_uids" not in json.loads((out / "books.json").read_text())
    assert "share" not in stderr


def test_repeated_uids_can_be_an_error(reshard):
    code, stderr, out = reshard([1, 2, 3], "--on_repeated_uid", "error")
    assert code == 1
    assert "6 of the kept samples share 2 uids" in stderr
    assert not list(out.glob("shards/*.tar"))
    (books,) = out.glob("selections/*/books.json")
    assert "share 2 uids" in json.loads(books.read_text())["failure"]
    assert reshard([3, 4], "--on_repeated_uid", "error")[0] == 0


def test_a_subset_of_which_nothing_is_in_the_pool_is_an_error(reshard, winnow, pool, tiny_network, tmp_path):
    code, stderr, out = reshard([100, 200])
    assert code == 1
    assert "not one of the 2 uids that subset.file lists is in this pool; name the pool" in stderr
    assert not list(out.glob("shards/*.tar"))
    (tmp_path / "by.yaml").write_text(f"name: x\nsource: me\nsteps:\n- subset: {{file: {tmp_path}/s.npy}}\n"
                                      "- threshold: {column: score, at_least: -1}\n")  # fmt: skip
    args = ["--input", f"{pool}/*.tar", "--output", tmp_path / "c", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *args, "--recipe", tmp_path / "by.yaml")
    assert code == 1
    assert "not one of the 2 uids that subset.file lists is in this pool" in stderr


def test_a_part_that_is_missing_is_counted_and_bounded(reshard):
    code, stderr, out = reshard([3, 3, 4, 100, 101])
    assert code == 0
    assert json.loads((out / "books.json").read_text())["subsets"] == {"subset": {"uids": 4, "found": 2}}
    assert "uids of subset, found" in stderr
    assert "50.00 %  of 4 listed" in stderr
    assert uids.to_hex(np.load(out / "missing.npy").view("u8").reshape(-1, 2)) == [uid(100), uid(101)]
    code, stderr, out = reshard([3, 3, 4, 100, 101], "--min_coverage", "0.51")
    assert code == 1
    assert "2 of the 4 uids that subset.file lists were found, less than the share 0.51 that --min_coverage" in stderr
    assert not list(out.glob("shards/*.tar"))
    assert reshard([3, 3, 4, 100, 101], "--min_coverage", "0.5")[0] == 0


def test_the_first_of_a_uid_can_be_kept_alone(reshard, winnow, pool, tiny_network, tmp_path):
    code, stderr, out = reshard([1, 2, 2, 3, 4, 5, 100], "--on_repeated_uid", "first")
    assert code == 0, stderr
    assert copies(out) == {uid(1): 1, uid(2): 2, uid(3): 1, uid(4): 1, uid(5): 1}
    books = json.loads((out / "books.json").read_text())
    assert "repeated_uids" not in books
    assert books["dropped"] == {"repeated_uid": 5, "subset": 2}
    assert books["subsets"] == {"subset": {"uids": 6, "found": 5}}
    captions = {key.partition("-")[0]: found["txt"] for key, found in members(out / "shards").items()}
    assert (captions[uid(1)], captions[uid(2)], captions[uid(5)]) == (b" thing 0\n", b" thing 2\n", b" thing 11\n")
    assert winnow("verify", "--output", out)[0] == 0
    args = ["--output", tmp_path / "c", "--recipe", "no_filter", "--on_repeated_uid", "first"]
    args += ["--input", f"{pool}/*.tar", "--model", f"net={tiny_network}"]
    code, _, stderr = winnow("curate", *args)
    assert code == 0, stderr
    assert copies(tmp_path / "c") == {uid(number): 1 for number in range(1, 8)}
    code, _, stderr = winnow("select", *args[:6])
    assert code == 0, stderr
    assert json.loads((tmp_path / "c/books.json").read_text())["kept"] == 7
    code, _, stderr = winnow("explain", "1", "--output", tmp_path / "c")
    assert code == 0, stderr
    assert "dropped by repeated_uid" in stderr
