"""Merging sorted runs against one sort of everything."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uids
from transforms.lib.subsets import merge_sort

small = st.integers(0, 3) | st.integers(2**64 - 3, 2**64 - 1)  # many equals, in both halves


@given(st.lists(st.lists(st.tuples(small, small), max_size=12), max_size=6), st.integers(1, 5))
def test_a_merge_is_the_sort_of_all_rows(parts, block):
    files = []
    for part in parts:
        rows = uids.subset(np.array(part, np.uint64).reshape(-1, 2))
        files.append(merge_sort.blocks(io.BytesIO(merge_sort.encode(rows)), len(rows), block))
    merged = list(merge_sort.merge(files))
    assert [row.item() for rows in merged for row in rows] == sorted(pair for part in parts for pair in part)
    assert all(len(rows) <= block * len(parts) for rows in merged), "no more than a block of each run at a time"


def test_runs_of_very_different_length_are_read_to_their_ends():
    random = np.random.default_rng(0)
    every = random.integers(0, 2**63, (5_000, 2)).astype(np.uint64)
    rows = [uids.subset(part) for part in np.split(every, [3, 3, 4_000])]
    files = [merge_sort.blocks(io.BytesIO(merge_sort.encode(part)), len(part), 64) for part in rows]
    assert (np.concatenate(list(merge_sort.merge(files))) == uids.subset(every)).all()


def test_a_run_that_is_cut_short_is_no_shorter_run():
    data = merge_sort.encode(uids.subset(np.arange(20, dtype=np.uint64).reshape(-1, 2)))
    with pytest.raises(EOFError, match="a run of 10 rows ends after 9"):
        list(merge_sort.blocks(io.BytesIO(data[:-1]), 10, 4))
