"""Groups of equal samples against plain dictionaries."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uids
from transforms.lib.dedup import groups

NAN = float("nan")


def test_identities_are_the_digests():
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(5)]
    found = groups.identities(np.array(digests, object))
    assert [bytes.fromhex(d) for d in digests] == [row.astype(">u8").tobytes() for row in found]
    assert groups.identities(np.array([], object)).shape == (0, 4)


def test_fingerprints_depend_on_every_word():
    identity = np.arange(4, dtype=np.uint64)[None].repeat(5, axis=0)
    identity[np.arange(4), np.arange(4)] += np.uint64(1)
    assert len(np.unique(groups.fingerprints(identity))) == 5
    assert groups.fingerprints(identity[:2])[1] == groups.fingerprints(identity[1:2])[0]


@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=5))
def test_repeated_are_those_that_occur_twice(parts):
    found = groups.repeated([np.array(part, np.uint64) for part in parts])
    every = [value for part in parts for value in part]
    assert [part.tolist() for part in found] == [sorted({v for v in part if every.count(v) > 1}) for part in parts]


@pytest.mark.parametrize(("largest_first", "expected"), [(True, [2, 0, 3, 1, 4]), (False, [1, 3, 0, 2, 4])])
def test_nan_is_last_either_way(largest_first, expected):
    values = np.array([0.5, -1, np.inf, 0.0, NAN], np.float32)
    order = groups.order_of(values, 5, largest_first=largest_first)
    assert np.argsort(order, kind="stable").tolist() == expected
    assert groups.order_of(None, 3, largest_first=True).tolist() == [0, 0, 0]


rows = st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 3), st.integers(0, 2), st.integers(0, 30))


@given(st.lists(rows, max_size=30, unique_by=lambda row: row[3:]), st.integers(0, 3), st.randoms())
def test_the_first_of_a_group_survives(samples, fresh, random):
    random.shuffle(samples)
    records = np.zeros(len(samples), groups.RECORD)
    for at, (identity, uid, order, shard, row) in enumerate(samples):
        records[at] = ((identity, 0, 0, 1), (0, uid), order, shard, row)
    shards, found = groups.groups(records, seed=3, fresh=fresh)
    frame = pd.DataFrame(samples, columns=["identity", "uid", "order", "shard", "row"])
    frame["late"] = frame["shard"] < fresh
    frame["tie"] = uids.keyed_hash(uids.pairs([f"{uid:032x}" for uid in frame["uid"]]), 3) if len(frame) else []
    expected = {}
    for _, group in frame.sort_values(["late", "order", "tie", "uid", "shard", "row"]).groupby("identity"):
        first = group.iloc[0]
        for number, sample in enumerate(group.itertuples()):
            if len(group) > 1 and sample.late:
                expected[sample.shard, sample.row] = (number > 0, first["uid"])
    assert {
        (s, int(v["row"])): (bool(v["dropped"]), int(v["group"][1])) for s, v in zip(shards, found, strict=True)
    } == expected
    assert all(v["similarity"] == v["dropped"] for v in found)
    assert all((v["keeper"] == (v["group"] if v["dropped"] else 0)).all() for v in found)


def test_near_hashes_have_their_share_of_equal_bits():
    records = np.zeros(3, groups.RECORD)
    records["identity"][:, 1] = [0b1000, 0b1011, 0b1000]
    records["uid"][:, 1], records["order"] = [5, 6, 7], [0, 1, 2]
    _, found = groups.groups(records, seed=0, fresh=1, words=1)
    assert found["similarity"].tolist() == [0, 1 - 2 / 64, 1]


def test_a_table_tells_all_four_kinds_apart():
    decided = np.zeros(2, groups.VERDICT)
    decided["row"], decided["dropped"], decided["group"][:, 1] = [3, 1], [True, False], 9
    decided["keeper"][0, 1], decided["similarity"][0] = 9, 1
    made = groups.table(np.array([True, True, False, True]), decided)
    nine = f"{9:032x}"
    assert made["duplicate_of"].to_pylist() == ["", "", "", nine]
    assert made["group"].to_pylist() == ["", nine, "", nine]
    assert str(made["similarity"].to_pylist()) == "[0.0, 0.0, nan, 1.0]"
    assert groups.counts(made) == {"samples": 4, "compared": 3, "duplicates": 1, "survivors": 1}
    assert groups.add_counts([groups.counts(made)] * 2) == {
        "samples": 8,
        "compared": 6,
        "duplicates": 2,
        "survivors": 2,
    }


def test_rows_are_split_by_number():
    found = groups.by_number(np.array([4, 0, 4]), np.array([7, 8, 9]))
    assert {number: part.tolist() for number, part in found.items()} == {0: [8], 4: [7, 9]}
    assert groups.by_number(np.zeros(0, np.int64), np.zeros(0, groups.VERDICT)) == {}
