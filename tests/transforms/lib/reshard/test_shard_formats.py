"""Output forms, read back by us and by the libraries they are for."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import picture
from transforms.lib.reshard import shard_formats

EXTENSIONS = st.sampled_from(["jpg", "png", "txt", "json", "cls", "emb.npy", "key"])
SAMPLES = st.lists(st.dictionaries(EXTENSIONS, st.binary(max_size=600), min_size=1), max_size=6)
SHARD = [
    ("a" * 32 + "-0", [("jpg", picture(1)), ("txt", "café".encode()), ("json", b'{"uid": "a", "n": 1}')]),
    ("b" * 32 + "-1", [("json", b'{"caption": "a dog"}'), ("png", picture(2, "PNG")), ("cls", b"7")]),
    ("c" * 32 + "-0", [("txt", b"\xff"), ("json", b"\xff")]),
]


def written(name, samples):
    sink = io.BytesIO()
    shard_formats.format_of(name).write(iter(samples), sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", shard_formats.NAMES)
@given(SAMPLES)
def test_what_is_written_is_read_back_to_the_byte(name, members):
    samples = [(f"{number:032x}-0", list(found.items())) for number, found in enumerate(members)]
    data = written(name, samples)
    back = shard_formats.format_of(name).read(io.BytesIO(data))
    assert [(key, dict(found)) for key, found in back] == [(key, dict(found)) for key, found in samples]
    assert data == written(name, samples)


def test_a_table_has_captions_json_and_images_as_columns():
    rows = pq.read_table(io.BytesIO(written("parquet", SHARD))).to_pylist()
    assert [row["uid"] for row in rows] == ["a" * 32, "b" * 32, "c" * 32]
    assert [row["caption"] for row in rows] == ["café", "a dog", None]
    assert json.loads(rows[0]["json"])["n"] == 1
    assert rows[2]["json"] is None
    assert [row["image"] and row["image"]["path"] for row in rows] == ["a" * 32 + "-0.jpg", "b" * 32 + "-1.png", None]
    assert rows[1]["image"]["bytes"] == picture(2, "PNG")
    assert rows[0]["members"] == [{"name": name, "data": None} for name in ("jpg", "txt", "json")]
    assert rows[1]["members"][2] == {"name": "cls", "data": b"7"}
    assert [one["data"] for one in rows[2]["members"]] == [b"\xff", b"\xff"]


def test_a_table_of_winnow_0_1_is_read_as_before():
    """There, ``image`` was bytes, and ``others`` a map of all other members."""
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("key", "uid", "caption", "json", "image_extension")),
            ("image", pa.binary()),
            ("others", pa.map_(pa.string(), pa.binary())),
        ]
    )
    rows = [
        {
            "key": "a-0",
            "image_extension": "png",
            "image": b"1",
            "caption": "x",
            "others": [("txt", b"x"), ("cls", b"7")],
        },
        {"key": "b-0", "others": [("txt", b"y")]},
    ]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    sink.seek(0)
    assert list(shard_formats.format_of("parquet").read(sink)) == [
        ("a-0", [("png", b"1"), ("txt", b"x"), ("cls", b"7")]),
        ("b-0", [("txt", b"y")]),
    ]


def test_a_table_has_no_type_that_a_reader_lacks():
    """Hugging Face datasets, polars and pandas have no map."""
    schema = pq.read_schema(io.BytesIO(written("parquet", SHARD)))
    assert not any(pa.types.is_map(field.type) for field in schema)
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"]["image"] == {"_type": "Image"}


def test_a_table_opens_in_pandas_and_in_a_dataset_scan(tmp_path):
    import pandas
    import pyarrow.dataset

    (tmp_path / "0.parquet").write_bytes(written("parquet", SHARD))
    assert pandas.read_parquet(tmp_path / "0.parquet", columns=["uid", "caption"])["caption"][0] == "café"
    chosen = pyarrow.dataset.dataset(tmp_path).to_table(filter=pyarrow.dataset.field("caption") == "a dog")
    assert chosen["key"].to_pylist() == ["b" * 32 + "-1"]


def test_rows_of_many_bytes_lie_in_row_groups_of_bounded_size(monkeypatch):
    from transforms.lib.reshard import parquet_format

    monkeypatch.setattr(parquet_format, "_ROW_GROUP_BYTES", 1000)
    samples = [(f"{n:032x}-0", [("jpg", bytes(600))]) for n in range(6)]
    file = pq.ParquetFile(io.BytesIO(written("parquet", samples)))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 2, 2]


def test_beams_own_reader_opens_the_records(tmp_path):
    import apache_beam as beam
    from apache_beam.testing.util import assert_that, equal_to

    (tmp_path / "0.tfrecord").write_bytes(written("tfrecord", SHARD))
    with beam.Pipeline("FnApiRunner") as pipeline:
        sizes = pipeline | beam.io.ReadFromTFRecord(str(tmp_path / "0.tfrecord")) | beam.Map(lambda r: b"jpg" in r)
        assert_that(sizes, equal_to([True, False, False]))


@pytest.mark.parametrize("cut", [3, 15, -1])
def test_a_damaged_record_file_is_refused(cut):
    data = written("tfrecord", SHARD)
    with pytest.raises(ValueError, match="TFRecord"):
        list(shard_formats.format_of("tfrecord").read(io.BytesIO(data[:cut])))
    changed = data[:200] + bytes([data[200] ^ 1]) + data[201:]
    with pytest.raises(ValueError, match="checksum"):
        list(shard_formats.format_of("tfrecord").read(io.BytesIO(changed)))


def test_columns_beside_stay_with_their_rows_over_row_groups(monkeypatch):
    from transforms.lib.reshard import parquet_format

    monkeypatch.setattr(parquet_format, "_ROW_GROUP_BYTES", 1000)
    samples = [(f"{n:032x}-0", [("jpg", bytes(600))]) for n in range(5)]
    sink = io.BytesIO()
    shard_formats.format_of("parquet").write(samples, sink, pa.table({"net_score": [0.0, 0.1, 0.2, 0.3, 0.4]}))
    table = pq.read_table(io.BytesIO(sink.getvalue()))
    assert pq.ParquetFile(io.BytesIO(sink.getvalue())).num_row_groups == 3
    assert [(int(row["uid"], 16), row["net_score"]) for row in table.to_pylist()] == [(n, n / 10) for n in range(5)]
