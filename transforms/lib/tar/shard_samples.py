"""Samples of a WebDataset shard: what ``webdataset`` would group, with byte ranges, and bad ones named.

One import for all that deals with tars: ``open_tar`` (``streams``), ``read_members`` (``parser``),
``members_of``, ``write_member``, ``write_sample``, ``END_OF_ARCHIVE`` (``writer``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from transforms.lib.tar.header import split_name
from transforms.lib.tar.parser import Member, read_members
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar.reader import Cursor
from transforms.lib.tar.sample_reader import SampleReader
from transforms.lib.tar.streams import open_tar
from transforms.lib.tar.writer import END_OF_ARCHIVE, members_of, write_member, write_sample
from transforms.lib.tar_account import TarAccount
from transforms.lib.tar_limits import TarLimits

__all__ = [
    "END_OF_ARCHIVE",
    "Member",
    "RawSample",
    "members_of",
    "open_tar",
    "read_members",
    "read_samples",
    "split_name",
    "write_member",
    "write_sample",
]


def read_samples(
    stream: BinaryIO,
    *,
    max_sample_bytes: int = 1 << 30,
    account: TarAccount | None = None,
    limits: TarLimits | None = None,
) -> Iterator[RawSample]:
    """Iterates over the samples of an uncompressed tar, each exactly once, good or bad.

    Consecutive members with one key are one sample, as in ``webdataset``; directories and members without a
    key do not part them. Reasons: ``DUPLICATE_KEY`` (the key was seen earlier in the shard, or an extension
    twice in the sample), ``TAR_MEMBER_UNSAFE``, ``SAMPLE_TOO_LARGE``, ``TAR_TRUNCATED`` and ``TAR_CORRUPT``. An unsafe
    member without a key comes out as a sample of its own, under its whole name, ahead of the sample it lies in.

    Reading goes on behind an end mark (as with GNU tar's ``--ignore-zeros``) and behind damage, at the next sound
    header. What lies between is one rejected sample: under the key of the sample that it cuts, else under an empty key.
    A sample beside the damage is kept where nothing of it can be missing (``recovery``).

    Args:
      stream: as ``open_tar`` returns it; read once, forwards.
      max_sample_bytes: longest byte range of a sample; at most twice as much is held in memory.
      account: filled in; complete once the last sample was yielded.
      limits: of members, names and headers; by default those of ``TarLimits``, with ``max_sample_bytes`` per member.

    Yields:
      Samples in the order of the tar. A bad tar raises nothing; only the stream's own OSErrors pass.
    """
    limits = limits or TarLimits(max_member_bytes=max_sample_bytes)
    return SampleReader(Cursor(stream), max_sample_bytes, account or TarAccount(), limits).samples()
