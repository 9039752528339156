"""A tar that changed between score and reshard is noticed where its bytes are copied, and named in one line."""

import gzip
import io
import json
import os
import shutil

import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool, picture
from transforms.lib.samples import identity
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample

ROWS = 16


def alike(seed):
    """Returns a JPEG whose length does not depend on the seed: what follows its end is no part of the picture."""
    return picture(seed).ljust(4000, b"\0")


def pool_of(folder, shards=2):
    folder.mkdir(parents=True)
    for shard in range(shards):
        samples = [sample(f"{shard:03d}{row:04d}", 100 * shard + row) for row in range(ROWS)]
        (folder / f"{shard:05d}.tar").write_bytes(b"".join(samples) + END_OF_ARCHIVE)
    return folder


def sample(key, seed):
    return write_sample(key, [("jpg", alike(seed)), ("txt", b"thing number %04d" % seed)])


def swapped(data):
    """Swaps the first two samples, which are equally long."""
    length = len(sample("0000000", 0))
    return data[length : 2 * length] + data[:length] + data[2 * length :]


def swapped_members(data):
    """Swaps the members of two samples and leaves their keys where they were."""
    length = len(sample("0000000", 0))
    one, two = data[:length], data[length : 2 * length]
    return one[:512] + two[512:4608] + one[4608:] + two[:512] + one[512:4608] + two[4608:] + data[2 * length :]


def overwritten(data):
    at = data.index(b"\xff\xd8") + 300
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def reordered(data):
    length = len(sample("0000000", 0))
    parts = [data[start : start + length] for start in range(0, ROWS * length, length)]
    return b"".join(reversed(parts)) + END_OF_ARCHIVE


CHANGES = {
    "swapped": swapped,
    "swapped members": swapped_members,
    "overwritten": overwritten,
    "reordered": reordered,
    "cut": lambda data: data[: len(data) // 2 + 700],
    "cut at a border of samples": lambda data: data[: 8 * len(sample("0000000", 0))],
    "zeros": lambda data: bytes(len(data)),
    "a header damaged": lambda data: data[:100] + b"9" + data[101:],
    "empty": lambda data: b"",
}


@pytest.fixture
def scored(winnow, tiny_network, tmp_path):
    """Returns what scores a pool and selects all of it."""

    def run(pool, *flags):
        out = tmp_path / "out"
        model = ["--model", f"net={tiny_network}"]
        assert winnow("score", "--input", f"{pool}/*.tar*", "--output", out, *model, *flags)[0] == 0
        assert winnow("select", "--output", out, "--keep_fraction", "1.0", "--max_reject_fraction", "0.3")[0] == 0
        return out

    return run


def refused(winnow, job, out, uri, *flags):
    """Runs a job that must fail in one line that names a tar; returns the line."""
    code, stdout, stderr = winnow(job, "--output", out, *flags)
    assert code in (1, 2), stderr
    assert stdout == ""
    (line,) = [line for line in stderr.splitlines() if line.startswith(f"winnow {job}")]
    assert str(uri) in line
    assert "Traceback" not in stderr
    return line


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_tar_is_noticed_before_it_is_copied(winnow, scored, tmp_path, change):
    pool = pool_of(tmp_path / "pool")
    out = scored(pool)
    tar = pool / "00000.tar"
    was = tar.stat()
    tar.write_bytes(CHANGES[change](tar.read_bytes()))
    os.utime(tar, ns=(was.st_atime_ns, was.st_mtime_ns))
    refused(winnow, "reshard", out, tar)
    assert not list((out / "shards").glob("*.tar"))


def test_exchanged_and_deleted_tars_are_noticed(winnow, scored, tmp_path):
    pool = pool_of(tmp_path / "pool")
    out = scored(pool)
    for one, two in (("00000", "aside"), ("00001", "00000"), ("aside", "00001")):
        shutil.move(pool / f"{one}.tar", pool / f"{two}.tar")
    assert "has another key" in refused(winnow, "reshard", out, pool)
    (pool / "00001.tar").unlink()
    assert "missing" in refused(winnow, "reshard", out, pool / "00001.tar")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_headers_alone_are_checked_where_the_user_says_so(winnow, scored, tmp_path, suffix):
    pool = pool_of(tmp_path / "pool")

    def write(tar, data):
        packed = tar.with_name(f"{tar.stem}{suffix}")
        tar.unlink(missing_ok=True)
        packed.write_bytes(gzip.compress(data, 0, mtime=0) if suffix == ".tar.gz" else data)

    datas = {tar: tar.read_bytes() for tar in pool.glob("*.tar")}
    for tar, data in datas.items():
        write(tar, data)
    out = scored(pool)
    tar = pool / "00000.tar"
    write(tar, overwritten(datas[tar]))
    assert "has another image" in refused(winnow, "reshard", out, pool / f"00000{suffix}")
    code, _, stderr = winnow("reshard", "--output", out, "--check", "headers")
    assert code == 0, stderr
    write(tar, swapped(datas[tar]))
    refused(winnow, "reshard", out, pool / f"00000{suffix}", "--check", "headers", "--samples_per_shard", "5")


@pytest.mark.parametrize("digest", ["crc32c", "sha256"])
def test_with_a_digest_of_the_whole_sample_a_changed_caption_is_noticed_too(winnow, scored, tmp_path, digest):
    pool = pool_of(tmp_path / "pool")
    out = scored(pool, "--sample_digest", digest)
    tar = pool / "00001.tar"
    sound = tar.read_bytes()
    tar.write_bytes(sound.replace(b"thing number 0104", b"thing number 0140"))
    assert "has other members" in refused(winnow, "reshard", out, tar)
    tar.write_bytes(sound)
    assert winnow("reshard", "--output", out)[0] == 0
    tar.write_bytes(sound.replace(b"thing number 0104", b"thing number 0140"))
    refused(winnow, "verify", out, tar)


def test_a_pool_that_was_not_changed_is_copied_with_and_without_checks_to_the_same_bytes(winnow, scored, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=True)
    out = scored(pool, "--sample_digest", "crc32c")
    written = {}
    for check in ("content", "headers"):
        assert winnow("reshard", "--output", out, "--check", check)[0] == 0
        written[check] = [path.read_bytes() for path in sorted((out / "shards").glob("*.tar"))]
        shutil.rmtree(out / "shards")
    assert written["content"] == written["headers"] != []


@pytest.mark.parametrize("damaged", ["shards/*.tar", "shard_stats/*"])
def test_an_output_shard_that_was_damaged_at_equal_size_is_written_again(winnow, scored, tmp_path, damaged):
    pool = pool_of(tmp_path / "pool")
    out = scored(pool)
    flags = ["--output", out, "--samples_per_shard", "10"]
    assert winnow("reshard", *flags)[0] == 0
    first = min(out.glob(damaged))
    sound = digests(out)
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    code, stdout, stderr = winnow("reshard", *flags)
    assert code == 0, stderr
    assert json.loads(stdout)["counters"]["reshard.shards_skipped"] == 3
    assert digests(out) == sound


def test_the_digest_speaks_of_key_and_members_and_not_of_the_tar_around_them():
    members = [("jpg", b"a"), ("txt", b"b")]
    known = identity.digest_of("sha256", "k", members)
    assert known == identity.digest_of("sha256", "k", iter(members))
    others = [("l", members), ("k", members[::-1]), ("k", [("jpg", b"at"), ("xt", b"b")]), ("k", members[:1])]
    assert len({known, *(identity.digest_of("sha256", key, found) for key, found in others)}) == 5
    (raw,) = read_samples(io.BytesIO(write_sample("k", members) + END_OF_ARCHIVE))
    assert identity.digest_of("sha256", raw.key, raw.members.items()) == known


def test_tars_that_were_exchanged_between_two_models_are_named(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", shards=2, faults=False)
    tars = sorted(pool.glob("*.tar"))
    size = max(tar.stat().st_size for tar in tars)
    for tar in tars:
        tar.write_bytes(tar.read_bytes().ljust(size, b"\0"))
        os.utime(tar, (1_000_000_000, 1_000_000_000))
    flags = ("--input", f"{pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    flags = (*flags, "--device", "cpu")
    assert winnow("score", *flags)[0] == 0
    first, second = (tar.read_bytes() for tar in tars)
    for tar, data in zip(tars, (second, first), strict=True):
        tar.write_bytes(data)
        os.utime(tar, (1_000_000_000, 1_000_000_000))
    code, _, stderr = winnow("score", *flags, "--model", f"other={tiny_network}")
    assert code in (1, 2)
    assert len(stderr.splitlines()) == 1
    assert "is not as it was when it was scored: its samples are not those of columns/index" in stderr
    assert not list((tmp_path / "out/columns").glob("other/*"))
