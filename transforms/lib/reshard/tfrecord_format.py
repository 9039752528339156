"""Output shards as TFRecord files of ``tf.train.Example``, for ``tf.data``; written without TensorFlow."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import google_crc32c
import pyarrow as pa
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from transforms.lib.reshard.shard_format import Members, ShardFile, ShardFormat

KEY = "__key__"  # no member can have this extension: webdataset keeps it for itself


@functools.cache
def _example_class() -> Any:
    """Returns the message ``tf.train.Example``, as far as lists of bytes go (tensorflow/core/example)."""
    file = descriptor_pb2.FileDescriptorProto(name="winnow_example.proto", package="winnow", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto

    def message(name: str, *fields: tuple[str, str, bool]) -> Any:
        made = file.message_type.add(name=name)
        for number, (label, kind, repeated) in enumerate(fields, 1):
            added = made.field.add(name=label, number=number)
            added.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            added.type = getattr(field, f"TYPE_{kind.upper()}", field.TYPE_MESSAGE)
            if added.type == field.TYPE_MESSAGE:
                added.type_name = f".winnow.{kind}"
        return made

    message("BytesList", ("value", "bytes", True))
    message("Feature", ("bytes_list", "BytesList", False))
    features = message("Features", ("feature", "Features.FeatureEntry", True))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".winnow.Feature"
    )
    message("Example", ("features", "Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("winnow.Example"))


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class TFRecordFormat(ShardFormat):
    """TFRecord: one ``tf.train.Example`` a sample; feature ``__key__`` and one feature of bytes per extension."""

    name = "tfrecord"
    suffix = ".tfrecord"

    def write(self, samples: Iterable[tuple[str, Members]], sink: ShardFile, beside: pa.Table | None = None) -> None:
        for key, members in samples:
            example = _example_class()()
            for name, data in ((KEY, key.encode()), *members):
                example.features.feature[name].bytes_list.value.append(data)
            record = example.SerializeToString(deterministic=True)
            length = struct.pack("<Q", len(record))
            sink.write(b"".join((length, _masked_crc(length), record, _masked_crc(record))))

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        while head := stream.read(12):
            length = head[:8]
            size = int.from_bytes(length, "little")
            if head[8:] != _masked_crc(length):
                raise ValueError("a TFRecord's length does not match its checksum")
            record, crc = stream.read(size), stream.read(4)
            if len(record) != size or crc != _masked_crc(record):
                raise ValueError("a TFRecord's data end early or do not match their checksum")
            example = _example_class().FromString(record)
            members = {name: value.bytes_list.value[0] for name, value in example.features.feature.items()}
            key = members.pop(KEY).decode()
            yield key, sorted(members.items())
