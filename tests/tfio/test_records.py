"""TFRecord shards as tf.data and tensorflow-io read them. Run by `make test-tfio`, where TensorFlow is."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_io as tfio
from PIL import Image

from tests.conftest import picture
from transforms.lib.reshard import shard_formats

SAMPLES = [(f"{n:032x}-{n % 2}", [("jpg", picture(n)), ("txt", f"thing {n}".encode())]) for n in range(9)]
SAMPLES.append(("f" * 32 + "-0", [("png", picture(9, "PNG")), ("txt", "café".encode())]))
NAMES = {
    "__key__": tf.io.FixedLenFeature([], tf.string),
    "txt": tf.io.FixedLenFeature([], tf.string),
    "jpg": tf.io.FixedLenFeature([], tf.string, ""),
}


@pytest.fixture
def shard(tmp_path):
    with (tmp_path / "00000000.tfrecord").open("wb") as file:
        shard_formats.format_of("tfrecord").write(SAMPLES, file)
    return str(tmp_path / "00000000.tfrecord")


def test_tf_data_reads_every_member_to_the_byte(shard):
    data = tf.data.TFRecordDataset([shard]).map(lambda record: tf.io.parse_single_example(record, NAMES))
    rows = list(data.as_numpy_iterator())
    assert [row["__key__"].decode() for row in rows] == [key for key, _ in SAMPLES]
    assert [row["txt"] for row in rows] == [dict(members)["txt"] for _, members in SAMPLES]
    assert [row["jpg"] for row in rows] == [dict(members).get("jpg", b"") for _, members in SAMPLES]


def test_its_images_decode_to_the_same_pixels(shard):
    data = tf.data.TFRecordDataset([shard]).take(9)
    for number, record in enumerate(data):
        found = tf.io.parse_single_example(record, NAMES)
        pixels = tf.io.decode_jpeg(found["jpg"], dct_method="INTEGER_ACCURATE", fancy_upscaling=True).numpy()
        expected = np.asarray(Image.open(io.BytesIO(picture(number)))).astype(int)
        assert pixels.shape == expected.shape
        assert np.abs(pixels - expected).max() <= 3  # two builds of libjpeg


def test_the_protocol_buffer_is_tensorflows_own(shard):
    record = next(iter(tf.data.TFRecordDataset([shard]).as_numpy_iterator()))
    example = tf.train.Example.FromString(record)
    assert sorted(example.features.feature) == ["__key__", "jpg", "txt"]
    assert example.features.feature["jpg"].bytes_list.value[0] == picture(0)


def test_tensorflow_io_reads_the_table_form(tmp_path):
    with (tmp_path / "0.parquet").open("wb") as file:
        shard_formats.format_of("parquet").write(SAMPLES, file)
    data = tfio.IODataset.from_parquet(str(tmp_path / "0.parquet"), columns=["key", "caption"])
    rows = [{name: value.numpy().decode() for name, value in row.items()} for row in data]
    assert [row["key"] for row in rows] == [key for key, _ in SAMPLES]
    assert [row["caption"] for row in rows] == [dict(members)["txt"].decode() for _, members in SAMPLES]
