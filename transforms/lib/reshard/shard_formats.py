"""The forms an output shard can have: WebDataset tar, Parquet table, TFRecord file."""

from __future__ import annotations

from transforms.lib.reshard.shard_format import ShardFormat
from transforms.lib.reshard.webdataset_format import TarFormat

NAMES = ("webdataset", "parquet", "tfrecord")


def format_of(name: str) -> ShardFormat:
    """Returns one of the forms by its name in ``NAMES``."""
    if name == "webdataset":
        return TarFormat()
    if name == "parquet":
        from transforms.lib.reshard.parquet_format import ParquetFormat

        return ParquetFormat()
    from transforms.lib.reshard.tfrecord_format import TFRecordFormat

    return TFRecordFormat()
