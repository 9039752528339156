import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.lib import scoretable
from transforms.lib.errors import InputError


def written(folder, name, **columns):
    path = str(folder / name)
    table = pa.table(columns)
    (pq.write_table if name.endswith("parquet") else pacsv.write_csv)(table, path)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.csv"])
@pytest.mark.parametrize("by", ["uid", "key"])
def test_values_are_found_by_uid_and_by_key(tmp_path, name, by):
    names = [f"{i:032x}" if by == "uid" else f"{i:09d}" for i in range(50)]
    path = written(tmp_path, name, **{by: names[::-1], "a": np.arange(50.0)[::-1], "n": np.arange(50)[::-1]})
    rows = scoretable.read_table([path], by, ["a", "n"])
    asked = [names[7], "f" * 9, names[0], names[49], names[7]]
    found = scoretable.look_up(rows, scoretable.pairs_of(by, asked))
    assert found["a"].tolist() == [7, pytest.approx(np.nan, nan_ok=True), 0, 49, 7]
    assert found["n"].dtype == np.float32


@settings(max_examples=50)
@given(st.dictionaries(st.integers(0, 40), st.floats(-4, 4, width=32)), st.lists(st.integers(0, 40), max_size=20))
def test_looking_up_is_a_dictionary(tmp_path_factory, table, asked):
    path = written(
        tmp_path_factory.mktemp("t"), "t.parquet",
        uid=pa.array([f"{i:x}" for i in table], pa.string()), a=pa.array(list(table.values()), pa.float32()),
    )  # fmt: skip
    rows = scoretable.read_table([path], "uid", ["a"])
    found = scoretable.look_up(rows, scoretable.pairs_of("uid", [f"{i:x}" for i in asked]))["a"]
    np.testing.assert_array_equal(found, np.array([table.get(i, np.nan) for i in asked], np.float32))


def test_a_repeated_uid_is_the_same_as_one_unless_its_values_differ(tmp_path):
    same = written(tmp_path, "same.parquet", uid=["a", "b", "a"], score=[0.5, 1.0, 0.5], other=[None, 1.0, None])
    assert len(scoretable.read_table([same, same], "uid", ["score", "other"])) == 2
    other = written(tmp_path, "other.parquet", uid=["a"], score=[0.25], other=[None])
    with pytest.raises(InputError, match="1 rows of the table repeat a uid with another value of score"):
        scoretable.read_table([same, other], "uid", ["score"])


def test_missing_values_are_nan(tmp_path):
    for name in ("a.parquet", "a.csv"):
        path = written(tmp_path, name, uid=["a", "b"], score=pa.array([None, 2], pa.int64()))
        rows = scoretable.read_table([path], "uid", ["score"])
        np.testing.assert_array_equal(rows["score"], np.array([np.nan, 2], np.float32))


def test_what_cannot_be_a_table_of_scores_is_refused_with_a_cure(tmp_path):
    path = written(tmp_path, "t.parquet", uid=["xyz"], text=["a"], score=[1.0])
    schema = scoretable.schema_of(path)
    assert scoretable.score_columns(schema, "uid", ()) == ("score",)
    with pytest.raises(InputError, match="the table has no column 'key', it has uid, text, score"):
        scoretable.score_columns(schema, "key", ())
    with pytest.raises(InputError, match="no numbers in text; it has score"):
        scoretable.score_columns(schema, "uid", ["text"])
    with pytest.raises(InputError, match="'xyz' is no uid"):
        scoretable.read_table([path], "uid", ["score"])
    with pytest.raises(InputError, match="have no key"):
        scoretable.pairs_of("key", ["a", None])
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        scoretable.schema_of(str(tmp_path / "bad.parquet"))
    with pytest.raises(InputError, match=r"is no table; give \.parquet or \.csv"):
        scoretable.schema_of(str(tmp_path / "scores.npz"))
