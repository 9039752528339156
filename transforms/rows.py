"""Every row that crosses a PCollection, with its coder. None of them holds an image.

Annotations are types here, not strings: Beam would take a string for Any, which no runner in another language can read.
"""

from typing import NamedTuple

import apache_beam as beam
from apache_beam import coders


class Shard(NamedTuple):
    """One tar of the pool.

    Attributes:
      name: its path below the pool's root without the suffix; unique; names every file made from it.
      uri: where it lies.
      size: bytes.
      stamp: digest of address, size and time of last change.
    """

    name: str
    uri: str
    size: int
    stamp: str


class ShardRef(NamedTuple):
    """A shard whose columns are in the store: what every stage after scoring works on.

    Attributes:
      name: of the shard.
      uri: of its tar.
      size: bytes of its tar.
    """

    name: str
    uri: str
    size: int


class FileRow(NamedTuple):
    """A file that was written or found finished: path below the output folder, bytes, sha256."""

    path: str
    size: int
    sha256: str


for _row in (Shard, ShardRef, FileRow):
    coders.registry.register_coder(_row, coders.RowCoder)

Shards = beam.PCollection[Shard]
ShardRefs = beam.PCollection[ShardRef]
