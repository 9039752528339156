"""Reading on behind end marks and damage: what is kept, what is named, and an account of every byte."""

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import corruption
from tests.transforms.lib.tar.test_shard_samples import Trickle, pool, special, tar_of
from transforms.lib import byte_ranges
from transforms.lib.errors import AccountsError, Reason
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, open_tar, read_samples
from transforms.lib.tar_account import TarAccount

SAMPLE = 2560  # bytes of one of ``pool``: 1536 of the image and 1024 of the caption


def read(data, **options):
    """Returns (key, problem) of all samples, and the account, which closes."""
    account = TarAccount()
    found = list(read_samples(io.BytesIO(data), account=account, **options))
    assert list(read_samples(Trickle(data, 700), **options)) == found
    account.check("the tar")
    assert account.size == len(data)
    assert covered(found) == account.samples + account.rejected
    return found, account


def covered(found):
    return byte_ranges.covered(*np.array([(s.offset, s.length) for s in found], np.int64).reshape(-1, 2).T)


def names(found):
    return [(sample.key, sample.problem) for sample in found]


def whole(*numbers):
    return [(f"{number:04d}", None) for number in numbers]


def test_tars_that_cat_joined_are_read_to_the_end():
    for pad in (END_OF_ARCHIVE, None):  # as Winnow and Go end an archive, and as tarfile does
        parts = [tar_of(pool(6)[4 * n : 4 * n + 4], end=pad is None) + (pad or b"") for n in range(3)]
        found, account = read(b"".join(parts))
        assert names(found) == whole(*range(6))
        assert (account.joined, account.holes, account.rejected) == (2, 0, 0)
        assert account.zeros == sum(map(len, parts)) - 6 * SAMPLE


def test_a_hole_of_zeros_is_one_rejection_with_its_offsets():
    data = bytearray(tar_of(pool(20)))
    data[5 * SAMPLE : 5 * SAMPLE + 8192] = bytes(8192)  # three samples, and the beginning of the data of the next image
    found, account = read(bytes(data))
    lost = [sample for sample in found if sample.problem]
    assert names(lost) == [("0008", Reason.TAR_CORRUPT)]
    assert (lost[0].offset, lost[0].offset + lost[0].length) == (5 * SAMPLE, 9 * SAMPLE)
    assert "8192 zeros" in lost[0].detail
    assert account.holes == 8192
    assert names(found) == [*whole(*range(5)), ("0008", Reason.TAR_CORRUPT), *whole(*range(9, 20))]


def test_bytes_missing_inside_a_member_cost_its_sample_alone():
    data = tar_of(pool(20))
    found, _ = read(data[: 5 * SAMPLE + 700] + data[5 * SAMPLE + 903 :])
    assert names(found) == [*whole(*range(5)), ("0005", Reason.TAR_CORRUPT), *whole(*range(6, 20))]
    found, _ = read(data[: 19 * SAMPLE + 700] + data[19 * SAMPLE + 903 :])
    assert names(found)[:-1] == whole(*range(19))


def test_a_tar_that_lies_in_a_damaged_one_is_not_taken_for_a_part_of_it():
    inner = tar_of([(f"inner{n}.txt", b"x") for n in range(3)], end=False)
    members = [*pool(3), ("0003.tar", inner), ("0003.txt", b"y"), *pool(6)[8:]]
    data = bytearray(tar_of(members))
    begin = 3 * SAMPLE + 512 + len(inner)
    data[begin + 150] ^= 255  # the checksum behind the inner tar
    found, _ = read(bytes(data))
    assert names(found) == [*whole(*range(3)), ("0003", Reason.TAR_CORRUPT), *whole(4, 5)]


def test_a_sample_that_lacks_what_all_others_have_is_not_kept_beside_damage():
    members = [(f"{n:04d}.{e}", b"%d" % n * 300) for n in range(6) for e in ("jpg", "json", "txt")]
    data = bytearray(tar_of(members))
    step = 3 * 1024
    data[3 * step + 2048 : 3 * step + 2048 + 400] = random.Random(0).randbytes(400)  # header of 0003.txt
    found, _ = read(bytes(data))
    assert names(found) == [*whole(0, 1, 2), ("0003", Reason.TAR_CORRUPT), *whole(4, 5)]


def test_the_name_behind_a_damaged_pax_header_is_not_believed():
    import tarfile

    long = "n" * 120 + ".a/"
    members = [(f"{long}{name}", data) for name, data in pool(6)]
    data = bytearray(tar_of(members, tarfile.PAX_FORMAT))
    step = len(tar_of(members[:2], tarfile.PAX_FORMAT, end=False))
    data[3 * step + 512 + 30] ^= 255  # inside the pax header's path
    data[3 * step + 512] = ord("x")
    found, _ = read(bytes(data))
    bad = [sample for sample in found if sample.problem]
    assert [sample.key for sample in found if not sample.problem] == [long + f"{n:04d}" for n in (0, 1, 2, 4, 5)]
    assert len(bad) == 1


def test_what_belongs_to_no_sample_is_counted():
    members = [("a.jpg", b"1"), ("README", b"2" * 600), ("x", None), ("b.jpg", b"3"), (".hidden", b""), ("b.txt", b"4")]
    found, account = read(tar_of([*members, (special("../up", b"0"), b"5"), ("b.json", b"{}")]))
    assert names(found) == [("a", None), ("../up", Reason.TAR_MEMBER_UNSAFE), ("b", None)]
    assert (account.keyless, account.others) == (3, 1536 + 512)
    assert (account.rejected, account.samples) == (1024, 1024 + 3 * 1024 + 512)


def test_a_tar_that_ends_behind_a_member_without_an_end_mark_is_told_from_a_whole_one():
    data = tar_of(pool(3), end=False)
    assert read(data)[1].unmarked
    assert not read(data + END_OF_ARCHIVE)[1].unmarked
    assert not read(data[:-600])[1].unmarked  # cut inside a member, which has a row
    assert not read(b"")[1].unmarked


def test_a_packed_tar_that_breaks_off_closes_its_account():
    import gzip

    data = tar_of([(f"{n:04d}.jpg", random.Random(n).randbytes(4000)) for n in range(40)])
    stored = gzip.compress(data)
    account = TarAccount()
    found = list(read_samples(open_tar(io.BytesIO(stored[: len(stored) // 2])), account=account))
    account.check("the tar")
    assert found[-1].problem is Reason.TAR_TRUNCATED
    assert covered(found) == account.samples + account.rejected
    assert 0 < account.size < len(data)


def test_an_account_that_does_not_add_up_is_an_error():
    with pytest.raises(AccountsError, match="of x does not close: 5 of samples"):
        TarAccount(size=9, samples=5).check("x")
    with pytest.raises(AccountsError):
        TarAccount(size=0, samples=5, others=-5).check("x")
    with pytest.raises(AccountsError, match="shard x was not read to its end: 7 of 9 bytes"):
        TarAccount(size=7, samples=7, read=7).check("shard x", 9)
    TarAccount(size=20, samples=20, read=7, unread=2).check("shard x", 9)
    account = TarAccount(9, 1, 2, 3, 3, keyless=1, unmarked=1)
    assert TarAccount.from_json(account.to_json()) == account
    assert account.plus(account).others == 6


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 6), st.integers(0, 3000))
def test_any_bytes_anywhere_are_accounted_for(garbage, samples, place):
    data = tar_of(pool(samples))
    place %= len(data) + 1
    read(data[:place] + garbage + data[place:])
    read(garbage)


@pytest.mark.parametrize("damage", corruption.DAMAGES)
def test_random_damage_costs_what_it_damages(damage):
    counts = sum((corruption.run_case(*case) for case in corruption.cases(damage, 60)), corruption.Counts())
    undamaged = counts["undamaged, kept"] + counts["undamaged, lost"]
    assert counts["undamaged, lost"] <= 0.02 * undamaged, (
        counts
    )  # what lies beside damage is not always known to be whole
    assert counts["cases"] == 60
    if damage == "insert":
        assert counts["touched, other bytes"] == 0
