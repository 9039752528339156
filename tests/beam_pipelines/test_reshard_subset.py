"""Resharding by a subset file, with and without a scored pool."""

import json
import tarfile

import numpy as np
import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


def subset_file(path, listed):
    with path.open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs(listed)))
    return path


def members(folder):
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                found.setdefault(key, {})[extension] = tar.extractfile(member).read()
    return found


@pytest.fixture
def pool(tmp_path):
    return make_pool(tmp_path / "pool", faults=False)


def test_a_published_subset_is_copied_from_a_pool_that_was_never_scored(winnow, pool, tmp_path):
    once, thrice, absent = f"{1:032x}", f"{1002:032x}", "f" * 32
    subset = subset_file(tmp_path / "s.npy", [once, thrice, thrice, thrice, absent])
    out = tmp_path / "out"
    flags = ["--samples_per_shard", "2"]
    code, _, stderr = winnow("reshard", "--input", f"{pool}/*.tar", "--subset", subset, "--output", out, *flags)
    assert code == 0, stderr
    found = members(out / "shards")
    assert set(found) == {f"{once}-0", f"{thrice}-0", f"{thrice}-1", f"{thrice}-2"}
    with tarfile.open(pool / "00001.tar") as tar:
        for copy in range(3):
            for extension, data in found[f"{thrice}-{copy}"].items():
                assert tar.extractfile(f"0010002.{extension}").read() == data
    assert uids.to_hex(np.load(out / "missing.npy").view("u8").reshape(-1, 2)) == [absent]
    assert "uids listed and not kept" in stderr
    assert json.loads((out / "books.json").read_text())["copies"] == 4
    assert winnow("verify", "--output", out)[0] == 0


def test_no_image_is_looked_at(winnow, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    uid = f"{5:032x}"
    tar = write_member("a.jpg", b"no picture") + write_member("a.json", json.dumps({"uid": uid}).encode())
    (pool / "0.tar").write_bytes(tar + END_OF_ARCHIVE)
    subset = subset_file(tmp_path / "s.npy", [uid])
    code, _, stderr = winnow("reshard", "--input", f"{pool}/*", "--subset", subset, "--output", tmp_path / "out")
    assert code == 0, stderr
    assert members(tmp_path / "out/shards")[f"{uid}-0"]["jpg"] == b"no picture"


def test_the_subset_that_curate_wrote_gives_the_shards_that_curate_wrote(winnow, pool, tiny_network, tmp_path):
    first, second, third = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    flags = ["--samples_per_shard", "7"]
    scoring = ["--model", f"net={tiny_network}", "--keep_fraction", "0.4"]
    assert winnow("curate", "--input", f"{pool}/*.tar", "--output", first, *scoring, *flags)[0] == 0
    by_subset = ["--subset", first / "subset.npy", *flags]
    assert winnow("reshard", "--input", f"{pool}/*.tar", "--output", second, *by_subset)[0] == 0
    assert winnow("score", "--input", f"{pool}/*.tar", "--output", third, "--model", f"net={tiny_network}")[0] == 0
    assert winnow("reshard", "--output", third, *by_subset)[0] == 0
    shards = [
        {name: digest for name, digest in digests(out).items() if name.endswith(".tar") or name == "subset.npy"}
        for out in (first, second, third)
    ]
    assert shards[0] == shards[1] == shards[2]


def test_what_is_wrong_is_told_before_anything_is_written(winnow, pool, tmp_path):
    rows = uids.subset(uids.pairs([f"{n:032x}" for n in range(4)]))[::-1]
    np.save(tmp_path / "unsorted.npy", rows)
    np.save(tmp_path / "floats.npy", np.zeros(3))
    for subset, expected in (
        ("unsorted.npy", "not sorted at row 1"), ("floats.npy", "expected"), ("none.npy", "does not exist"),
    ):  # fmt: skip
        flags = ["--input", f"{pool}/*.tar", "--output", tmp_path / "out", "--subset", tmp_path / subset]
        code, _, stderr = winnow("reshard", *flags)
        assert code == 2
        assert expected in stderr
        assert not (tmp_path / "out").exists()
    code, _, stderr = winnow("reshard", "--input", f"{pool}/*.tar", "--output", tmp_path / "out")
    assert code == 2
    assert "--subset is missing" in stderr


def test_a_scored_pool_is_not_indexed_again(winnow, pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    flags = ["--input", f"{pool}/*.tar", "--output", out]
    assert winnow("score", *flags, "--model", f"net={tiny_network}")[0] == 0
    subset = subset_file(tmp_path / "s.npy", [f"{1:032x}"])
    code, _, stderr = winnow("reshard", *flags, "--subset", subset)
    assert code == 2
    assert "holds a scored pool already; leave --input out" in stderr
