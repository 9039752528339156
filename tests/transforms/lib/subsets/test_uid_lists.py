import contextlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uid_rule, uids
from transforms.lib.errors import InputError
from transforms.lib.subsets import uid_lists

GOLDEN = ["139e4a9b22a614771f06c700a8ebe150", "6e356964a967af455c8016b75d691203"]
SOME = [*GOLDEN, "00000000000000000000000000000abc", GOLDEN[0], "f" * 32, "0" * 32]
small = st.lists(st.integers(0, 9).map(lambda n: (n % 3 * 2**62, n)), max_size=30)


def rows_of(pairs):
    return np.array(sorted(pairs), uids.SUBSET_DTYPE)


def parts_of(path, sort=True):
    with contextlib.ExitStack() as stack:
        found = uid_lists.read(str(path), "--input x", sort, stack)
        return np.concatenate([found.part(part) for part in range(uid_lists.PARTS)])


def write(path, texts):
    """Writes uids in the form that the name asks for; texts without their leading zeros."""
    short = [text.lstrip("0") or "0" for text in texts]
    rows = np.array([(int(text[:16], 16), int(text[16:], 16)) for text in texts], uids.SUBSET_DTYPE)
    if path.suffix == ".txt":
        path.write_text("\n".join(text.upper() for text in short) + "\n\n")
    elif path.suffix == ".parquet":
        pq.write_table(
            pa.table({"other": range(len(texts)), "uid": pa.array(short, pa.string())}), path, row_group_size=2
        )
    elif path.suffix == ".npy":
        np.save(path, rows)
    else:
        rows.tofile(path)
    return np.sort(rows)


@pytest.mark.parametrize("name", ["a.txt", "a.parquet", "a.npy", "a.mmap"])
def test_a_list_in_any_form_and_order_is_sorted_and_keeps_its_duplicates(tmp_path, monkeypatch, name):
    monkeypatch.setattr(uid_lists, "_ROWS", 2)
    expected = write(tmp_path / name, SOME)
    np.testing.assert_array_equal(parts_of(tmp_path / name), expected)
    with pytest.raises(InputError, match=r"--input x: not sorted at row 2; add --sort"):
        parts_of(tmp_path / name, sort=False)
    write(tmp_path / name, sorted(SOME))
    np.testing.assert_array_equal(parts_of(tmp_path / name, sort=False), expected)
    write(tmp_path / name, [])
    assert len(parts_of(tmp_path / name, sort=False)) == 0


@pytest.mark.parametrize("bad", ["  ", "1,2"])
def test_what_is_no_uid_is_refused(tmp_path, bad):
    (tmp_path / "a.txt").write_text(f"{GOLDEN[0]}\n{bad}\n")
    with pytest.raises(InputError, match=r"--input x: .*(is blank; leave its line|columns)"):
        parts_of(tmp_path / "a.txt")


def test_names_are_hashed_as_those_of_samples_are(tmp_path):
    names = ["coco_17", "F" * 33, "550E8400-e29b-41d4-a716-446655440000", "1f"]
    (tmp_path / "a.txt").write_text("\n".join(names))
    pq.write_table(pa.table({"uid": names}), tmp_path / "b.parquet")
    expected = uids.subset(uids.pairs([uid_rule.of_text(name) for name in names]))
    for name in ("a.txt", "b.parquet"):
        np.testing.assert_array_equal(parts_of(tmp_path / name), expected)
    assert uid_lists.digits_of(pa.array([None, " ", "a", "é"])).to_pylist() == [
        "", "", "a".zfill(32), uid_rule.of_text("é"),
    ]  # fmt: skip


def test_files_of_another_kind_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(4, np.uint64))
    pq.write_table(pa.table({"uid": [1, 2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "b.parquet")
    (tmp_path / "a.mmap").write_bytes(bytes(17))
    (tmp_path / "c.parquet").write_bytes(b"nothing")
    for name in ("a.npy", "a.parquet", "b.parquet", "a.mmap", "c.parquet"):
        with pytest.raises(InputError, match="--input x: "):
            parts_of(tmp_path / name)


@given(small, small, small)
def test_lists_are_joined_as_counters_are(mine, one, two):
    found = uid_lists.joined(rows_of(mine), [rows_of(one)], [], [rows_of(two)])
    counts = Counter(mine) | Counter(one)
    expected = [pair for pair, times in counts.items() for _ in range(times) if pair not in two]
    np.testing.assert_array_equal(found, rows_of(expected))
    both = uid_lists.joined(rows_of(mine), intersect=[rows_of(one), rows_of(two)])
    np.testing.assert_array_equal(both, rows_of([pair for pair in mine if pair in one and pair in two]))
    assert uid_lists.distinct(found) == len(set(expected))
