from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes.steps import subset
from transforms.lib.subsets import subset_files

UIDS = st.lists(st.integers(0, 40).map(lambda n: f"{n * 2**61:032x}" if n % 2 else f"{n:032x}"), max_size=60)


def written(tmp_path, listed, raw=False):
    path = tmp_path / "subset.npy"
    rows = uids.subset(uids.pairs(listed))
    with path.open("wb") as file:
        if raw:
            file.write(rows.tobytes())
        else:
            uids.write_subset(file, rows)
    return str(path)


@given(UIDS, UIDS)
def test_counts_as_a_dictionary_would(listed, queries):
    rows = uids.subset(uids.pairs(listed))
    counts = Counter(listed)
    assert subset_files.multiplicity(rows, uids.pairs(queries)).tolist() == [counts[uid] for uid in queries]


@pytest.mark.parametrize("raw", [False, True])
def test_copies_are_as_many_as_the_file_lists(tmp_path, raw):
    a, b, c = (f"{n:032x}" for n in (3, 2**64, 2**100))
    path = written(tmp_path, [a, c, c, c], raw)
    valid = np.array([True, True, True, False])
    columns = {"uid": uids.pairs([a, b, c, a])}
    block = Block("s", columns, valid, valid.astype(np.uint16), {"subset.file": path})
    verdict = subset.Subset("subset", file="x").apply(block, None)
    assert verdict.copies.tolist() == [1, 0, 3, 0]
    assert verdict.margin.tolist()[:3] == [0.0, -1.0, 2.0]


def test_an_empty_subset_keeps_nothing(tmp_path):
    rows = subset_files.open_subset(written(tmp_path, []))
    assert subset_files.multiplicity(rows, uids.pairs(["0" * 32])).tolist() == [0]


def test_a_file_that_is_not_sorted_is_refused_with_the_row(tmp_path, monkeypatch):
    monkeypatch.setattr(subset_files, "_CHUNK", 2)
    rows = uids.subset(uids.pairs([f"{n:032x}" for n in range(6)]))
    rows[[4, 5]] = rows[[5, 4]]
    np.save(tmp_path / "s.npy", rows)
    with pytest.raises(InputError, match="not sorted at row 5"):
        subset_files.check_sorted(subset_files.open_subset(str(tmp_path / "s.npy")))


@pytest.mark.parametrize("content", [b"123", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}"])
def test_what_is_no_subset_file_is_refused(tmp_path, content):
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(InputError, match="subset file"):
        subset_files.open_subset(str(tmp_path / "s.npy"))


@given(UIDS, UIDS)
def test_the_place_of_a_uid_is_its_first_row(listed, queries):
    rows = uids.subset(uids.pairs(listed))
    ordered = sorted(listed)
    expected = [ordered.index(uid) if uid in listed else -1 for uid in queries]
    assert subset_files.places(rows, uids.pairs(queries)).tolist() == expected
