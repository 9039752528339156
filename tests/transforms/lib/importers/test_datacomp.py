import io
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.metadata import SCHEMA, rows_of, unit, write_npz
from transforms.lib.columnstore import columns, views
from transforms.lib.errors import InputError
from transforms.lib.importers import datacomp
from transforms.lib.parquet_files import ParquetReader

BOTH = ("clip_b32", "clip_l14")


def file_of(table):
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=7)
    return sink


def index_view(table, sink):
    """Returns the index of a file as a view of it."""
    view = views.ColumnView("m.parquet", len(sink.getvalue()), len(table), datacomp.index_columns(table.schema))
    noted = columns.to_parquet(columns.INDEX_SCHEMA.empty_table(), "stamp", view=views.note(view))
    return views.ColumnFile(ParquetReader(pa.BufferReader(noted)), {"m.parquet": sink}.__getitem__)


def test_the_published_schema_is_right_and_others_are_told_apart():
    assert datacomp.schema_problems(SCHEMA) == []
    without = SCHEMA.remove(SCHEMA.get_field_index("text"))
    assert datacomp.schema_problems(without) == ["has no column text; it is not DataComp's metadata"]
    numbers = SCHEMA.set(0, pa.field("uid", pa.int64()))
    assert datacomp.schema_problems(numbers) == ["has int64 in uid, expected text"]
    for name in ("url", "sha256", "face_bboxes"):
        assert datacomp.schema_problems(SCHEMA.remove(SCHEMA.get_field_index(name))) == []


def test_a_view_is_the_index_that_a_copy_would_be():
    table = rows_of(3, 30)
    sink = file_of(table)
    index = index_view(table, sink).read(columns.INDEX_SCHEMA.names)
    assert index.schema == columns.INDEX_SCHEMA
    index.validate(full=True)
    stored = index_view(table, sink)
    groups = [stored.read(columns.INDEX_SCHEMA.names, group) for group in range(len(stored.group_rows()))]
    assert len(groups) == 5
    assert pa.concat_tables(groups).equals(index)
    expected = table.to_pydict()
    assert index["uid"].to_pylist() == index["key"].to_pylist() == expected["uid"]
    assert index["caption"].to_pylist() == [text or "" for text in expected["text"]]
    assert index["original_width"].to_pylist() == expected["original_width"]
    assert index["image_sha256"].to_pylist() == expected["sha256"]
    assert set(index["status"].to_pylist()) == {"ok"}
    assert set(index["length"].to_pylist()) == {0}
    assert set(index["detail"].to_pylist()) == {""}


def test_the_footer_tells_of_a_column_with_one_value():
    sink = io.BytesIO()
    values = {
        "one": ["a"] * 9,
        "two": ["a"] * 8 + ["b"],
        "later": ["a"] * 5 + ["b"] * 4,
        "null": ["a", None] * 4 + ["a"],
    }
    table = pa.table(values)
    pq.write_table(table, sink, row_group_size=5)
    own = views.ColumnFile(ParquetReader(sink), {}.__getitem__)
    assert [own.only(name) for name in table.column_names] == ["a", None, None, None]
    assert own.rows == 9
    view = index_view(rows_of(3, 30), file_of(rows_of(3, 30)))
    assert (view.only("status"), view.only("uid"), view.only("detail"), view.rows) == ("ok", None, "", 30)
    bare = io.BytesIO()
    pq.write_table(table, bare, write_statistics=False)
    assert views.ColumnFile(ParquetReader(bare), {}.__getitem__).only("one") is None


def test_sizes_that_pandas_made_floats_become_whole_numbers_again():
    table = rows_of(3, 4)
    widths = pa.array([0.0, None, float("nan"), 512.0], pa.float64())
    table = table.set_column(3, "original_width", widths)
    sink = file_of(table)
    index = index_view(table, sink).read(["original_width"])
    assert index["original_width"].to_pylist() == [0, 0, 0, 512]


def test_a_file_of_another_size_is_not_the_one_that_was_imported():
    table = rows_of(3, 30)
    sink = file_of(table)
    index = index_view(table, sink)
    sink.seek(0, 2)
    sink.write(b"x")
    assert len(index.read(["status"])) == 30
    with pytest.raises(InputError, match="changed since it was imported"):
        index.read(["uid"])


@pytest.mark.parametrize("bad", ["A" * 32, "0" * 31, "g" * 32, "", None, "0" * 33, "0" * 30 + "é"])
def test_one_uid_that_is_not_as_published_is_found(bad):
    good = rows_of(1, 20)["uid"].to_pylist()
    assert datacomp.is_plain(pa.chunked_array([good]))
    assert datacomp.is_plain(pa.chunked_array([good[:7], good[7:]]))
    assert not datacomp.is_plain(pa.chunked_array([good[:7], [*good[7:], bad]]))
    assert datacomp.is_plain(pa.chunked_array([pa.array([], pa.string())]))


def test_uids_are_mended_where_they_can_be_and_rejected_where_not():
    given = ["ABC", "0" * 32, "f" * 33, "no uid", None, "1" * 31]
    table = rows_of(3, 6).set_column(0, "uid", pa.array(given))
    sink = file_of(table)
    index = datacomp.mended(index_view(table, sink).read(columns.INDEX_SCHEMA.names))
    assert index.schema == columns.INDEX_SCHEMA
    assert index["uid"].to_pylist() == ["0" * 29 + "abc", "0" * 32, "", "", "", "0" + "1" * 31]
    assert index["status"].to_pylist() == ["ok", "ok", "uid_invalid", "uid_invalid", "uid_invalid", "ok"]
    assert index["detail"].to_pylist() == ["", "", "f" * 33, "no uid", "", ""]


def test_embeddings_are_read_piece_by_piece_as_they_were_written(tmp_path, monkeypatch):
    monkeypatch.setattr(datacomp, "_CHUNK_ROWS", 8)
    write_npz(tmp_path / "a.npz", 5, 29)
    score = np.arange(29, dtype=np.float32)
    with open(tmp_path / "a.npz", "rb") as file:
        assert datacomp.npz_problems(file, BOTH, 29) == []
        pieces = list(datacomp.embedding_tables(file, "clip_l14", score))
    assert [len(piece) for piece in pieces] == [8, 8, 8, 5]
    whole = pa.concat_tables(pieces)
    assert whole.schema == columns.score_schema(12)
    np.testing.assert_array_equal(whole["score"].to_numpy(), score)
    for name, key in (("image", "l14_img"), ("text", "l14_txt")):
        np.testing.assert_array_equal(columns.embeddings(whole[name]), unit(5, key, 29).astype(np.float16))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"l14_txt": None}, "has no array l14_txt"),
        ({"l14_txt": np.zeros((29, 11), np.float32)}, "has 12 dimensions of images and 11 of texts in clip_l14"),
        ({"b32_txt": np.zeros((28, 8), np.float32)}, "has 29 images and 28 texts in clip_b32, and the Parquet file"),
        ({"l14_img": np.zeros((29, 12), np.int8)}, "l14_img is int8"),
        ({"l14_img": np.array([Bomb()], object)}, "l14_img is object"),
        ({"l14_img": np.asfortranarray(np.ones((29, 12), np.float32))}, "l14_img is float32"),
    ],
)
def test_an_npz_that_is_not_as_published_is_told_apart(tmp_path, changes, told):
    write_npz(tmp_path / "a.npz", 5, 29, **changes)
    with open(tmp_path / "a.npz", "rb") as file:
        found = datacomp.npz_problems(file, BOTH, 29)
    assert len(found) == 1
    assert told in found[0]


def test_a_damaged_npz_is_told_apart(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, 5, 2000)
    data = path.read_bytes()
    for cut in (b"", data[: len(data) // 2], pickle.dumps([1])):
        path.write_bytes(cut)
        with open(path, "rb") as file:
            assert "download it again" in datacomp.npz_problems(file, BOTH, 2000)[0]
    with zipfile.ZipFile(path, "w") as archive:
        for key in ("b32_img", "b32_txt", "l14_img", "l14_txt"):
            archive.writestr(f"{key}.npy", b"\x93NUMPY nothing")
    with open(path, "rb") as file:
        assert "cannot be read" in datacomp.npz_problems(file, BOTH, 2000)[0]
    spoilt = bytearray(data)
    spoilt[20_000:20_400] = bytes(400)
    path.write_bytes(spoilt)
    with open(path, "rb") as file, pytest.raises(InputError, match=r"damaged|ends early"):
        list(datacomp.embedding_tables(file, "clip_b32", np.zeros(2000, np.float32)))
