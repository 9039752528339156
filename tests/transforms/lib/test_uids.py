"""Uids, pairs, subset files and keyed hashes against plain Python."""

import io
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.errors import InputError
from transforms.lib.uids import (
    SUBSET_DTYPE,
    digest,
    keyed_hash,
    pairs,
    read_subset,
    subset,
    to_hex,
    uniform,
    write_subset,
)

UID = st.integers(0, 2**128 - 1).map("{:032x}".format)
GOLDEN = ("139e4a9b22a614771f06c700a8ebe150", "6e356964a967af455c8016b75d691203")
MASK = 2**64 - 1


def rows_of(uids):
    return subset(pairs(uids))


def written(rows):
    stored = io.BytesIO()
    write_subset(stored, rows)
    return stored.getvalue()


def mixed(value):
    """SplitMix64's finaliser with Python's integers."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def hash_of(uid, seed):
    golden = 0x9E3779B97F4A7C15
    inner = mixed((int(uid[:16], 16) + mixed(seed + golden & MASK)) & MASK)
    return mixed(((inner ^ int(uid[16:], 16)) + golden) & MASK)


# -- pairs --------------------------------------------------------------------------------------------------


def test_golden_pairs_of_datacomp():
    expected = [[0x139E4A9B22A61477, 0x1F06C700A8EBE150], [0x6E356964A967AF45, 0x5C8016B75D691203]]
    assert pairs(GOLDEN).tolist() == expected
    assert rows_of(GOLDEN[::-1]).tolist() == [tuple(row) for row in expected]


@given(st.lists(UID))
def test_pairs_equal_those_of_plain_python_and_come_back(uids):
    found = pairs(uids)
    assert (found.dtype, found.shape) == (np.uint64, (len(uids), 2))
    assert found.tolist() == [list(divmod(int(uid, 16), 2**64)) for uid in uids]
    assert to_hex(found) == uids


@pytest.mark.parametrize("bad", [["0" * 31], ["0" * 33, "0" * 31], ["g" * 32], ["é" * 32]])
def test_pairs_refuses_what_is_no_uid(bad):
    with pytest.raises(ValueError, match=r"hex|ASCII|digit"):
        pairs(bad)


@given(st.lists(UID))
def test_subset_sorts_as_text_and_keeps_duplicates(uids):
    uids = uids + uids[:2]
    rows = rows_of(uids)
    assert rows.dtype == SUBSET_DTYPE
    assert to_hex(np.stack([rows["f0"], rows["f1"]], axis=1)) == sorted(uids)


# -- subset files -------------------------------------------------------------------------------------------


@given(st.lists(UID))
def test_subset_files_are_numpys_and_come_back(uids):
    rows = rows_of(uids)
    stored = written(rows)
    reference = io.BytesIO()
    np.save(reference, rows, allow_pickle=False)
    assert stored == reference.getvalue()
    assert len(stored) == 128 + 16 * len(uids)
    assert (read_subset(io.BytesIO(stored)) == rows).all()
    assert (read_subset(io.BytesIO(rows.tobytes())) == rows).all()  # without a header, as DataComp's memmap


def test_reads_newer_npy_versions():
    rows = rows_of(GOLDEN)
    stored = io.BytesIO()
    np.lib.format.write_array(stored, rows, version=(2, 0))
    assert (read_subset(io.BytesIO(stored.getvalue())) == rows).all()


def npy(array, **options):
    stored = io.BytesIO()
    np.save(stored, array, **options)
    return stored.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        npy(rows_of(GOLDEN)[::-1].copy()),
        rows_of(GOLDEN)[::-1].tobytes(),
        npy(pairs(GOLDEN)),
        npy(np.zeros(3, "i8,i8")),
        npy(np.zeros(3, ">u8,>u8")),
        npy(np.zeros((2, 2), SUBSET_DTYPE)),
        npy(np.array([{}], object), allow_pickle=True),
        written(rows_of(GOLDEN))[:-1],
        written(rows_of(GOLDEN)) + bytes(16),
        written(rows_of(GOLDEN)).replace(b"(2,)", b"(-2,)".ljust(4)[:5])[:160],
        written(rows_of(GOLDEN))[:40],
        b"\x93NUMPY\x09\x09" + bytes(100),
        b"\x93NUMPY",
        bytes(17),
    ],
)
def test_refuses_unusable_subset_files(data):
    with pytest.raises(InputError, match="subset"):
        read_subset(io.BytesIO(data))


def test_a_header_that_lies_about_the_rows_costs_no_memory():
    stored = written(rows_of(GOLDEN)).replace(b"(2,), }" + b" " * 12, b"(2000000000000,), }")
    assert b"2000000000000" in stored
    with pytest.raises(InputError, match="2000000000000"):
        read_subset(io.BytesIO(stored))


def test_refuses_to_write_what_is_not_sorted_or_no_subset():
    rows = np.array([(1, 5), (1, 4)], SUBSET_DTYPE)
    for bad in (rows, rows.reshape(1, 2), np.zeros((3, 2), np.uint64)):
        stored = io.BytesIO()
        with pytest.raises(InputError, match="subset"):
            write_subset(stored, bad)
        assert stored.getvalue() == b""


# -- hashes -------------------------------------------------------------------------------------------------


@given(st.lists(UID, min_size=1), st.integers(0, MASK))
def test_keyed_hash_equals_plain_python(uids, seed):
    assert keyed_hash(pairs(uids), seed).tolist() == [hash_of(uid, seed) for uid in uids]


def test_keyed_hash_never_changes():
    assert keyed_hash(pairs(GOLDEN), 0).tolist() == [11428920905277646268, 8152716513986896410]
    assert keyed_hash(pairs(GOLDEN), MASK).tolist() == [hash_of(uid, MASK) for uid in GOLDEN]
    assert keyed_hash(pairs([]), 0).tolist() == []


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_keyed_hash_refuses_other_seeds(seed):
    with pytest.raises(ValueError, match="seed"):
        keyed_hash(pairs(GOLDEN), seed)


def counting_pairs(low, high):
    return np.stack([np.arange(low, dtype=np.uint64) * np.uint64(high), np.arange(low, dtype=np.uint64)], axis=1)


@pytest.mark.parametrize("high", [0, 1])
def test_uniform_is_flat_and_seeds_are_independent_even_for_counters(high):
    found = counting_pairs(100_000, high)
    first, second = uniform(found, 1), uniform(found, 2)
    assert first.min() >= 0
    assert first.max() < 1
    counts = np.histogram(first, 100, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared, 99 degrees of freedom: p < 0.0002
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.015
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.015
    assert len(np.unique(keyed_hash(found, 1))) == 100_000


def test_each_flipped_bit_changes_half_of_the_hash():
    chance = random.Random(0)
    for bit in range(128):
        uids = [chance.getrandbits(128) for _ in range(200)]
        before = keyed_hash(pairs([f"{uid:032x}" for uid in uids]), 3)
        after = keyed_hash(pairs([f"{uid ^ (1 << bit):032x}" for uid in uids]), 3)
        changed = np.bitwise_count(before ^ after).mean()
        assert 29.5 < changed < 34.5


def test_uniform_is_the_top_of_the_hash():
    expected = [(hash_of(uid, 5) >> 11) / 2**53 for uid in GOLDEN]
    assert uniform(pairs(GOLDEN), 5).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1)), max_size=20), st.randoms(), st.data())
def test_a_digest_tells_multisets_apart_and_not_their_order(listed, shuffler, data):
    mixed = shuffler.sample(listed, len(listed))
    at = data.draw(st.integers(0, len(listed)))
    parts = [np.array(part, np.uint64).reshape(-1, 2) for part in (mixed[:at], mixed[at:])]
    whole = digest(np.array(listed, np.uint64).reshape(-1, 2))
    assert digest(parts[0]) + digest(parts[1]) == whole
    if listed:
        once_more = np.array([*listed[1:], listed[-1]], np.uint64)
        assert (digest(once_more) == whole) == (listed[0] == listed[-1])
