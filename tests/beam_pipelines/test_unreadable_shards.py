"""Shards that cannot be read: all others are done, books close, nobody overlooks it, and the next run tries again."""

import errno
import json
import os
import shutil

import pytest

from tests import proxy
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from tests.stores import run
from transforms.lib.errors import StoreError, UnreadableError
from transforms.outputs.store import Store
from transforms.storage import pool_files

ALLOWED = ("--max_unreadable_fraction", "0.5")
CURATE = ("--keep_fraction", "0.5", "--samples_per_shard", "7")


@pytest.fixture
def pool(tmp_path):
    return make_pool(tmp_path / "pool", faults=False)


class Disk:
    """A disk that answers reads of some shards with an error: they become links to the memory at address 0."""

    def __init__(self, pool):
        self._pool, self._kept = pool, pool.with_name("kept")

    def breaks(self, name):
        self._kept.mkdir(exist_ok=True)
        shutil.move(self._pool / name, self._kept / name)
        (self._pool / name).symlink_to("/proc/self/mem")

    def mended(self):
        for path in self._kept.iterdir():
            (self._pool / path.name).unlink()
            shutil.move(path, self._pool / path.name)


@pytest.fixture
def disk(pool):
    if not os.path.exists("/proc/self/mem"):
        pytest.skip("no /proc, whose file of memory cannot be read at address 0")
    return Disk(pool)


def scoring(pool, out, network, *flags):
    return "score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={network}", *flags


def test_a_shard_that_cannot_be_read_fails_a_run_that_did_all_others(winnow, tiny_network, pool, disk, tmp_path):
    out = tmp_path / "out"
    disk.breaks("00001.tar")
    code, stdout, stderr = winnow(*scoring(pool, out, tiny_network))
    assert (code, stdout) == (1, "")
    (line,) = [line for line in stderr.splitlines() if line.startswith("winnow")]
    assert "1 of 3 shards could not be read, and all of their samples are missing: 00001 (shard_unreadable: " in line
    assert "Input/output error); that is more than the share 0 that --max_unreadable_fraction allows" in line
    assert not (out / "manifest.json").exists()
    store = Store(str(out))
    assert [len(store.read("index", name)) for name in ("00000", "00001", "00002")] == [16, 1, 16]
    disk.mended()
    assert winnow(*scoring(pool, out, tiny_network))[0] == 0
    whole = tmp_path / "whole"
    assert winnow(*scoring(pool, whole, tiny_network))[0] == 0
    assert digests(out / "columns") == digests(whole / "columns")


def test_a_lost_shard_within_the_share_is_told_everywhere(winnow, tiny_network, pool, disk, tmp_path):
    out = tmp_path / "out"
    disk.breaks("00001.tar")
    flags = (*ALLOWED, *CURATE, "--max_reject_fraction", "0.1")
    code, stdout, stderr = winnow("curate", *scoring(pool, out, tiny_network, *flags)[1:])
    assert code == 0, stderr
    sentence = "1 of 3 shards could not be read, and all of their samples are missing: 00001 (shard_unreadable: Input"
    assert f"warning: {sentence}" in stderr
    assert json.loads(stdout)["lost_shards"]["count"] == 1
    books = json.loads((out / "books.json").read_text())
    assert books["rejected"] == {"shard_unreadable": 1}
    assert books["samples"] == 33
    assert books["lost_shards"] == {"count": 1, "first": {"00001": "shard_unreadable: Input/output error"}}
    assert sentence in (out / "report.html").read_text()
    assert winnow("annotate", "--output", out, "--columns", "caption")[0] == 0
    assert winnow("dedup", "--output", out)[0] == 0
    assert winnow("verify", "--output", out)[0] == 0
    code, _, stderr = winnow("select", "--output", out, *CURATE[:2], "--max_reject_fraction", "0.1")
    assert code == 1
    assert "more than the share 0 that --max_unreadable_fraction allows" in stderr
    disk.mended()
    code, _, stderr = winnow("curate", *scoring(pool, out, tiny_network, *flags)[1:])
    assert code == 0, stderr
    assert "could not be read" not in stderr
    whole = tmp_path / "whole"
    assert winnow("curate", *scoring(pool, whole, tiny_network, *flags)[1:])[0] == 0
    assert digests(out / "shards") == digests(whole / "shards")


def test_a_shard_that_is_no_tar_is_lost_in_every_run(winnow, tiny_network, pool, tmp_path):
    (pool / "00009.tar").write_text("<!DOCTYPE html>\n<html>Sign in</html>")
    for _ in range(2):  # the second run reads nothing
        code, _, stderr = winnow(*scoring(pool, tmp_path / "out", tiny_network))
        assert code == 1
        assert "1 of 4 shards could not be read, and all of their samples are missing: 00009 (not_a_tar: an" in stderr
    assert winnow(*scoring(pool, tmp_path / "out", tiny_network, *ALLOWED))[0] == 0


def test_the_first_shard_of_a_pool_may_be_lost_too(winnow, tiny_network, pool, disk, tmp_path):
    disk.breaks("00000.tar")
    code, _, stderr = winnow(*scoring(pool, tmp_path / "out", tiny_network))
    assert code == 2
    assert "00000.tar cannot be read" in stderr
    assert winnow(*scoring(pool, tmp_path / "out", tiny_network, *ALLOWED))[0] == 0
    disk.breaks("00001.tar")
    disk.breaks("00002.tar")
    assert winnow(*scoring(pool, tmp_path / "other", tiny_network, *ALLOWED))[0] == 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM])
def test_a_fault_of_the_machine_is_no_lost_shard(number):
    with pytest.raises(OSError, match=os.strerror(number)), pool_files.readable("x.tar"):
        raise OSError(number, os.strerror(number), "x.tar")


def test_what_is_said_of_a_lost_shard_names_no_address_and_no_secret():
    uri = "https://host/00001.tar?X-Amz-Signature=0123"
    with pytest.raises(UnreadableError) as raised, pool_files.readable(uri):
        raise StoreError(f"{uri}: access denied\n(see https://other/?token=abc)" + " !" * 500)
    assert raised.value.detail.startswith("it: access denied (see https://other/")
    assert len(raised.value.detail) == 200
    assert not any(word in raised.value.detail for word in ("0123", "abc", "host", "\n"))


def test_a_store_that_refuses_one_object_loses_that_shard(s3, faulty_pool, tiny_network, tmp_path):
    for path in faulty_pool.glob("*.tar"):
        s3.upload(f"lost/pool/{path.name}", path.read_bytes())

    def plan(request):
        return 403 if request.method == "GET" and request.path.endswith("00002.tar") else None

    args = ("score", "--input", s3.uri("lost/pool/*.tar"), "--output", tmp_path / "out", "--model",
            f"net={tiny_network}")  # fmt: skip
    with proxy.Proxy(s3, plan) as between:
        done = run(s3.through(between.port), *args)
        assert done.returncode == 1, done.stderr
        assert "1 of 3 shards could not be read" in done.stderr
        assert "00002 (shard_unreadable: it: access denied" in done.stderr
        assert run(s3.through(between.port), *args, *ALLOWED).returncode == 0
    done = run(s3, *args)
    assert done.returncode == 0, done.stderr
    other = (*args, "--model", f"other={shutil.copytree(tiny_network, tmp_path / 'net')}")
    with proxy.Proxy(s3, plan) as between:
        done = run(s3.through(between.port), *other, *ALLOWED)
    assert done.returncode == 0, done.stderr
    assert "warning: 1 shards could not be read, and all of their samples are missing" in done.stderr
    store = Store(str(tmp_path / "out"))
    rows = len(store.read("index", "00002"))
    assert rows > 1, "the index of the time when it could be read stays"
    assert store.read("other", "00002", ["score"])["score"].to_pandas().isna().sum() == rows
    assert run(s3, *other).returncode == 0
    assert str(store.read("other", "00002").to_pylist()) == str(store.read("net", "00002").to_pylist())
