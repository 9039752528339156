"""Hostile tars: what is beyond a limit is rejected, and costs little."""

import bz2
import gzip
import io
import tarfile
import tracemalloc

import pytest

from tests.transforms.lib.tar.test_shard_samples import pool, reseal, tar_of
from transforms.lib.errors import Reason
from transforms.lib.tar.shard_samples import open_tar, read_samples, write_member
from transforms.lib.tar_account import TarAccount
from transforms.lib.tar_limits import TarLimits


def read(stream, **limits):
    """Returns the samples; the account closes, and memory stays below 100 MB."""
    account, limit = TarAccount(), TarLimits(**limits)
    tracemalloc.start()
    found = list(read_samples(open_tar(stream, limit), account=account, limits=limit))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    account.check("the tar")
    assert peak < 100 << 20
    return found


def test_too_many_empty_members_end_the_reading_of_a_shard():
    data = tar_of([*pool(2), *((f"e{n}.txt", b"") for n in range(30)), *pool(4)[4:]])
    found = read(io.BytesIO(data), max_empty_members=20)
    assert [s.problem for s in found] == [None] * 22 + [Reason.TAR_TOO_LARGE]
    assert found[-1].offset + found[-1].length == len(data)
    assert "more than 20 empty members" in found[-1].detail
    assert all(s.problem is None for s in read(io.BytesIO(data), max_empty_members=30))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_tar_of_zeros_or_of_huge_captions_is_stopped(pack):
    for data in (bytes(300 << 20), b"".join(write_member(f"{n}.txt", b"x" * (100 << 20)) for n in range(3))):
        (last,) = read(io.BytesIO(pack(data)))
        assert last.problem is Reason.TAR_TOO_LARGE
        assert "times its packed size" in last.detail


def test_a_packed_tar_that_unpacks_to_too_much_is_stopped_and_what_came_before_is_kept():
    data = tar_of([(f"{n:04d}.jpg", bytes([n % 256]) * 9000) for n in range(200)])
    *whole, last = read(io.BytesIO(gzip.compress(data)), max_unpacked_bytes=1 << 20)
    assert last.problem is Reason.TAR_TOO_LARGE
    assert whole
    assert all(s.problem is None for s in whole)


def test_names_and_members_that_are_too_long_spoil_their_sample_alone():
    long = [("n" * 5000 + ".jpg", b"1"), ("n" * 900_000 + ".txt", b"2")]
    found = read(io.BytesIO(tar_of([*pool(1), *long, ("big.jpg", b"x" * 5000), *pool(2)[2:]], tarfile.PAX_FORMAT)))
    assert [s.key for s in found if not s.problem] == ["0000", "big", "0001"]
    found = [s for s in found if s.problem]
    assert [s.problem for s in found] == [Reason.TAR_MEMBER_UNSAFE] * 2
    assert max(len(s.key) for s in found) <= 200
    assert "its name has 5004 bytes" in found[0].detail
    found = read(io.BytesIO(tar_of([*pool(1), ("big.jpg", b"x" * 5000), *pool(2)[2:]])), max_member_bytes=4000)
    assert [s.problem for s in found] == [None, Reason.SAMPLE_TOO_LARGE, None]
    assert "'big.jpg' has 5000 bytes" in found[1].detail


class Holed(io.RawIOBase):
    """A tar whose second member is so many zeros, which are made as they are read."""

    def __init__(self, header, size, tail):
        self.parts = [[header, 1], [bytes(1 << 20), size >> 20], [tail, 1]]

    def read(self, size=-1):
        while self.parts:
            part = self.parts[0]
            if part[1]:
                part[1] -= 1
                return part[0]
            self.parts.pop(0)
        return b""


@pytest.mark.parametrize("form", ["base-256", "pax"])
def test_members_of_more_than_four_gigabytes_are_passed_over(form):
    size = 5 << 30
    plain = write_member("a.bin", b"")
    header = reseal(plain, size=(124, b"\x80" + size.to_bytes(11, "big")))
    if form == "pax":
        header = reseal(write_member("p", b"19 size=%d\n" % size), flag=(156, b"x")) + plain
    big, last = read(Holed(header, size, tar_of(pool(1))))
    assert (big.key, big.problem, big.length) == ("a", Reason.SAMPLE_TOO_LARGE, size + len(header))
    assert (last.key, last.problem) == ("0000", None)


def test_a_large_member_is_held_once():
    size = 200 << 20
    header = reseal(write_member("a.bin", b""), size=(124, b"%011o\0" % size))
    stream = Holed(header, size, tar_of(pool(1)))
    tracemalloc.start()
    first = next(iter(read_samples(stream, max_sample_bytes=1 << 30)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(first.members["bin"]) == size
    assert peak < 1.3 * size
