"""Output shards as WebDataset tars: members copied byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa

from transforms.lib.reshard.shard_format import Members, ShardFile, ShardFormat
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, read_samples, write_sample


class TarFormat(ShardFormat):
    """WebDataset: members verbatim under the new key, in the order they had; headers normalised."""

    name = "webdataset"
    suffix = ".tar"

    def write(self, samples: Iterable[tuple[str, Members]], sink: ShardFile, beside: pa.Table | None = None) -> None:
        for key, members in samples:
            sink.write(write_sample(key, members))
        sink.write(END_OF_ARCHIVE)

    def read(self, stream: BinaryIO) -> Iterator[tuple[str, Members]]:
        for sample in read_samples(stream):
            if sample.problem:
                raise ValueError(f"{sample.key}: {sample.problem}: {sample.detail}")
            yield sample.key, list(sample.members.items())
