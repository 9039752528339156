import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import byte_ranges
from transforms.lib.byte_ranges import LocalFiles, coalesce, copy_ranges, read_ranges
from transforms.lib.tar.streams import open_tar

DATA = bytes(range(256)) * 8


@st.composite
def disjoint(draw):
    """Ranges that do not overlap, some of them twice, in any order."""
    cuts = sorted(draw(st.lists(st.integers(0, len(DATA)), max_size=20, unique=True)))
    found = list(zip(cuts[::2], cuts[1::2], strict=False))
    again = draw(st.lists(st.sampled_from(found), max_size=4)) if found else []
    return [(start, stop - start) for start, stop in draw(st.permutations(found + again))]


@given(disjoint(), st.integers(0, 500), st.integers(1, 700))
def test_returns_each_range_in_the_order_given(wanted, gap, piece):
    offsets, lengths = [o for o, _ in wanted], [n for _, n in wanted]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_ranges, "_PIECE_BYTES", piece)
        plain = read_ranges(io.BytesIO(DATA), offsets, lengths, gap)
        stream = open_tar(io.BytesIO(gzip.compress(DATA)))
        packed = read_ranges(stream, offsets, lengths, gap)
    assert plain == packed == [DATA[o : o + n] for o, n in wanted]


def test_reads_near_ranges_at_once_and_far_ones_apart():
    offsets, lengths = np.array([0, 110, 300]), np.array([100, 10, 10])
    assert coalesce(offsets, lengths, gap_bytes=9).tolist() == [0, 1, 2, 3]
    assert coalesce(offsets, lengths, gap_bytes=10).tolist() == [0, 2, 3]
    assert coalesce(offsets, lengths, gap_bytes=1000).tolist() == [0, 3]
    copied = copy_ranges(io.BytesIO(DATA), offsets, lengths, io.BytesIO(), 10)
    assert (copied.read_bytes, copied.requests) == (130, 2)


def test_a_file_that_ends_early_is_not_the_indexed_one():
    with pytest.raises(EOFError, match="inside an indexed range"):
        read_ranges(io.BytesIO(b"short"), [2], [10])


def test_local_files_are_read_in_any_order_few_of_them_open_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(LocalFiles, "_MOST_OPEN", 3)
    paths = [str(tmp_path / str(number)) for number in range(7)]
    for number in range(7):
        (tmp_path / str(number)).write_bytes(DATA[number:])
    with LocalFiles() as files:
        told = [files.announce(path, np.array([0, 110, 0]), np.array([100, 10, 100]), 10) for path in paths]
        for offset in (200, 5):
            for number, path in enumerate(paths):
                assert files.read(path, offset, 50) == DATA[number + offset : number + offset + 50]
        with pytest.raises(EOFError, match="inside an indexed range"):
            files.read(paths[0], len(DATA) - 10, 11)
        assert len(files._open) == 3
    assert not files._open
    assert {(copied.read_bytes, copied.requests) for copied in told} == {(120, 1)}
