import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.lib.errors import InputError
from transforms.lib.importers import score_table


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
    rows = score_table.read_table([path], by, ["a", "n"])
    asked = [names[7], "f" * 9, names[0], names[49], names[7]]
    found = score_table.look_up(rows, score_table.pairs_of(by, asked), ["a", "n"])
    assert found["a"].tolist() == [7, pytest.approx(np.nan, nan_ok=True), 0, 49, 7]
    assert found["n"].dtype == np.float32


@settings(max_examples=50)
@given(st.dictionaries(st.integers(0, 40), st.floats(-4, 4, width=32)), st.lists(st.integers(0, 40), max_size=20))
def test_looking_up_is_a_dictionary(tmp_path_factory, table, asked):
    path = written(
        tmp_path_factory.mktemp("t"), "t.parquet",
        uid=pa.array([f"{i:x}" for i in table], pa.string()), a=pa.array(list(table.values()), pa.float32()),
    )  # fmt: skip
    rows = score_table.read_table([path], "uid", ["a"])
    found = score_table.look_up(rows, score_table.pairs_of("uid", [f"{i:x}" for i in asked]), ["a"])["a"]
    np.testing.assert_array_equal(found, np.array([table.get(i, np.nan) for i in asked], np.float32))


def test_a_repeated_uid_is_the_same_as_one_unless_its_values_differ(tmp_path):
    same = written(tmp_path, "same.parquet", uid=["a", "b", "a"], score=[0.5, 1.0, 0.5], other=[None, 1.0, None])
    assert len(score_table.read_table([same, same], "uid", ["score", "other"])) == 2
    other = written(tmp_path, "other.parquet", uid=["a"], score=[0.25], other=[None])
    with pytest.raises(InputError, match="1 rows of the table repeat a uid with another value of score"):
        score_table.read_table([same, other], "uid", ["score"])


def test_missing_values_are_nan(tmp_path):
    for name in ("a.parquet", "a.csv"):
        path = written(tmp_path, name, uid=["a", "b"], score=pa.array([None, 2], pa.int64()))
        rows = score_table.read_table([path], "uid", ["score"])
        np.testing.assert_array_equal(rows["values"][:, 0], np.array([np.nan, 2], np.float32))


def test_what_cannot_be_a_table_of_scores_is_refused_with_a_cure(tmp_path):
    path = written(tmp_path, "t.parquet", uid=["xyz"], text=["a"], score=[1.0])
    schema = score_table.schema_of(path)
    assert score_table.score_columns(schema, "uid", ()) == ("score",)
    with pytest.raises(InputError, match="the table has no column 'key', it has uid, text, score"):
        score_table.score_columns(schema, "key", ())
    with pytest.raises(InputError, match="no numbers in text; of its columns uid, text, score, numbers are in score"):
        score_table.score_columns(schema, "uid", ["text"])
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        score_table.schema_of(str(tmp_path / "bad.parquet"))
    with pytest.raises(InputError, match=r"is no table; give \.parquet or \.csv"):
        score_table.schema_of(str(tmp_path / "scores.npz"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_index_that_pandas_writes_is_no_score(tmp_path, kind):
    frame = pd.DataFrame({"uid": list("abc"), "score": [1.0, 2.0, 3.0]}).iloc[[2, 0, 1]]
    path = str(tmp_path / f"t.{kind}")
    getattr(frame, f"to_{kind}")(path)
    schema = score_table.schema_of(path)
    made = score_table.score_columns(schema, "uid", ())
    assert made == ("score",)
    assert [name for name in schema.names if score_table.is_unnamed(name)] == [
        "" if kind == "csv" else schema.names[-1]
    ]
    rows = score_table.read_table([path], "uid", made)
    found = score_table.look_up(rows, score_table.pairs_of("uid", ["a", "b", "c"]), made)
    assert found["score"].tolist() == [1, 2, 3]
    if kind == "csv":  # once more, and the index has the name that pandas makes up
        pd.read_csv(path).to_csv(path, index=False)
    assert score_table.score_columns(score_table.schema_of(path), "uid", ()) == ("score",)


def test_a_column_may_have_any_name(tmp_path):
    names = ["f0", "f1", "values", "größe", "a.b"]
    for kind in ("csv", "parquet"):
        path = written(tmp_path, f"t.{kind}", uid=["a", "b"], **{name: [at, at + 0.5] for at, name in enumerate(names)})
        rows = score_table.read_table([path], "uid", names)
        found = score_table.look_up(rows, score_table.pairs_of("uid", ["b", "a"]), names)
        assert {name: values.tolist() for name, values in found.items()} == {
            n: [at + 0.5, at] for at, n in enumerate(names)
        }


@pytest.mark.parametrize("missing", ["", None])
@pytest.mark.parametrize(("by", "kind"), [("uid", "csv"), ("key", "csv"), ("uid", "parquet"), ("key", "parquet")])
def test_a_row_without_a_name_is_refused(tmp_path, by, kind, missing):
    path = written(tmp_path, f"t.{kind}", **{by: ["a", missing, missing], "score": [1.0, 2.0, 3.0]})
    with pytest.raises(InputError, match=rf"2 rows of .*t\.{kind} have no {by}; leave them out"):
        score_table.read_table([path], by, ["score"])


@pytest.mark.parametrize(
    ("header", "line"),
    [("uid,a,a,b", "2 columns called 'a'"), ("uid,uid,a,b", "2 columns called 'uid'"), ("uid,a,b,text,text", None)],
)
def test_two_columns_of_a_name_are_refused_where_they_are_read(tmp_path, header, line):
    for kind in ("csv", "parquet"):
        path = str(tmp_path / f"t.{kind}")
        numbers = [pa.array(["x" if name == "text" else "1"] * 2) for name in header.split(",")]
        kinds = [pa.string() if name in ("uid", "text") else pa.float64() for name in header.split(",")]
        arrays = [values.cast(of) for values, of in zip(numbers, kinds, strict=True)]
        table = pa.Table.from_arrays(arrays, names=header.split(","))
        (pq.write_table if kind == "parquet" else pacsv.write_csv)(table, path)
        schema = score_table.schema_of(path)
        if line is None:
            assert score_table.score_columns(schema, "uid", ()) == ("a", "b")
            assert len(score_table.read_table([path], "uid", ["a", "b"])) == 1
            continue
        with pytest.raises(InputError, match=line):
            score_table.score_columns(schema, "uid", ())


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_header_that_is_not_utf8_is_one_line_with_a_cure(tmp_path, encoding):
    (tmp_path / "t.csv").write_text("uid,größe\na,1\nb,2\n", encoding)
    with pytest.raises(InputError, match=r"t\.csv cannot be read: .*; write it as Parquet, or as UTF-8 CSV") as caught:
        score_table.score_columns(score_table.schema_of(str(tmp_path / "t.csv")), "uid", ())
    assert "\n" not in str(caught.value)


def test_a_csv_column_that_is_empty_in_the_first_megabyte_is_read_by_what_follows(tmp_path):
    lines = ["uid,late,words,never,score", *(f"{n:x},,,,0.5" for n in range(120_000)), "ffffff,2.5,text,,1"]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    assert path.stat().st_size > 1 << 20
    schema = score_table.schema_of(str(path))
    assert score_table.numbers_of(schema) == ["late", "score"]
    assert score_table.empty_columns(schema) == ["never"]
    rows = score_table.read_table([str(path)], "uid", ["late", "score"])
    assert score_table.look_up(rows, score_table.pairs_of("uid", ["ffffff"]), ["late", "score"])["late"] == [2.5]


def test_a_byte_order_mark_before_a_csv_is_no_part_of_a_name(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfuid,score\n0f,0.5\n")
    assert score_table.schema_of(str(tmp_path / "a.csv")).names == ["uid", "score"]


def test_whole_numbers_that_float32_makes_equal_are_refused(tmp_path):
    fits = written(tmp_path, "fits.parquet", uid=["a", "b"], rank=[1 << 24, (1 << 25) + 4])
    assert score_table.read_table([fits], "uid", ["rank"])["values"][:, 0].tolist() == [2.0**24, 2.0**25 + 4]
    for name in ("a.parquet", "a.csv"):
        path = written(tmp_path, name, uid=["a", "b"], rank=[(1 << 24) + 1, 5])
        with pytest.raises(InputError, match=r"1 values of rank of .* above 16777216, such as 16777217"):
            score_table.read_table([path], "uid", ["rank"])


def test_values_that_lose_digits_are_told(tmp_path):
    told = []
    exact = written(tmp_path, "exact.parquet", uid=["a", "b"], score=[0.5, None])
    score_table.read_table([exact], "uid", ["score"], told.append)
    assert told == []
    wide = written(tmp_path, "wide.csv", uid=["a", "b"], score=[0.1, 0.2], n=[1, 2])
    score_table.read_table([wide], "uid", ["score", "n"], told.append)
    assert [line.split(":")[0] for line in told] == ["score"]
