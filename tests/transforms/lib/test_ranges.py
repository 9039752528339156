import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.ranges import coalesce, read_ranges

DATA = bytes(range(256)) * 8
RANGES = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 400)), max_size=20)


@given(RANGES, st.integers(0, 500))
def test_returns_each_range_in_the_order_given(ranges, gap):
    offsets, lengths = [o for o, _ in ranges], [n for _, n in ranges]
    found = read_ranges(io.BytesIO(DATA), offsets, lengths, gap)
    assert found == [DATA[o : o + n] for o, n in ranges]


def test_reads_near_ranges_at_once_and_far_ones_apart():
    assert coalesce([0, 300, 110], [100, 10, 10], gap_bytes=10) == [[0, 2], [1]]
    assert coalesce([0, 300, 110], [100, 10, 10], gap_bytes=1000) == [[0, 2, 1]]


def test_a_file_that_ends_early_is_not_the_indexed_one():
    with pytest.raises(EOFError, match="was it replaced"):
        read_ranges(io.BytesIO(b"short"), [2], [10])
