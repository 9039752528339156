"""Samples of a WebDataset shard: what ``webdataset`` would group, with byte ranges, and bad ones named.

One import for all that deals with tars: ``open_tar`` (``reader``), ``read_members`` (``parser``),
``members_of``, ``write_member``, ``write_sample``, ``END_OF_ARCHIVE`` (``writer``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from transforms.lib.errors import Reason, ShardError
from transforms.lib.tar.header import split_name
from transforms.lib.tar.parser import Member, Progress, read_members, scan
from transforms.lib.tar.reader import Cursor, open_tar
from transforms.lib.tar.writer import END_OF_ARCHIVE, members_of, write_member, write_sample

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

# A webdataset reader keeps its own values under these names of a sample.
_RESERVED = frozenset({"__key__", "__url__", "__local_path__", "__bad__"})


@dataclass(slots=True)
class RawSample:
    """The members of one key, or what is wrong with them.

    Attributes:
      key: folder and base name up to the first dot; empty only for damage between samples.
      offset: its first header block, bytes in the uncompressed tar.
      length: bytes from there to the end of its last member, headers and padding included.
      members: data by lower-case extension; empty when ``problem`` is set.
      problem: None for a good sample.
      detail: what was found.
    """

    key: str
    offset: int
    length: int
    members: dict[str, bytes] = field(default_factory=dict)
    problem: Reason | None = None
    detail: str = ""

    def reject(self, problem: Reason, detail: str) -> None:
        """Marks the sample bad (the first reason stays) and lets its data go."""
        if self.problem is None:
            self.problem = problem
            self.detail = detail
        self.members.clear()


def read_samples(stream: BinaryIO, *, max_sample_bytes: int = 1 << 30) -> Iterator[RawSample]:
    """Iterates over the samples of an uncompressed tar, each exactly once, good or bad.

    Consecutive members with one key are one sample, as in ``webdataset``; directories and members without a
    key do not part them. Reasons: ``DUPLICATE_KEY`` (the key was seen earlier in the shard, or an extension
    twice in the sample), ``TAR_MEMBER_UNSAFE``, ``SAMPLE_TOO_LARGE``, and for the last one ``TAR_TRUNCATED``
    or ``TAR_CORRUPT`` when the tar cannot be read on: the sample being read, up to the stop, or an empty key
    between samples. An unsafe member without a key comes out as a sample of its own, under its whole name,
    ahead of the sample it lies in.

    Args:
      stream: as ``open_tar`` returns it; read once, forwards.
      max_sample_bytes: longest byte range of a sample; at most twice as much is held in memory.

    Yields:
      Samples in the order of the tar. A bad tar raises nothing; only the stream's own OSErrors pass.
    """
    cursor = Cursor(stream)
    progress = Progress()
    seen: set[str] = set()
    sample: RawSample | None = None
    try:
        for member, data in scan(cursor, progress, max_sample_bytes):
            key, extension = split_name(member.name)
            if not key:
                if member.problem:
                    yield _outcast(member)
                continue
            if sample is not None and sample.key != key:
                yield sample
                sample = None
            sample = sample or _begin(key, member, seen)
            _add(sample, extension, member, data, max_sample_bytes)
    except ShardError as error:
        yield from _stopped(sample, cursor, progress, error)
        return
    if sample is not None:
        yield sample


def _begin(key: str, member: Member, seen: set[str]) -> RawSample:
    sample = RawSample(key, member.offset, 0)
    if key in seen:
        sample.reject(Reason.DUPLICATE_KEY, "the key was seen earlier in the shard")
    seen.add(key)
    return sample


def _add(sample: RawSample, extension: str, member: Member, data: bytes, max_sample_bytes: int) -> None:
    sample.length = member.end - sample.offset
    if member.problem:
        sample.reject(Reason.TAR_MEMBER_UNSAFE, f"{member.name!r}: {member.problem}")
    elif extension in _RESERVED:
        sample.reject(Reason.TAR_MEMBER_UNSAFE, f"{member.name!r}: its extension is reserved by webdataset")
    elif extension in sample.members:
        sample.reject(Reason.DUPLICATE_KEY, f"the extension {extension!r} comes twice")
    elif sample.length > max_sample_bytes:
        sample.reject(Reason.SAMPLE_TOO_LARGE, f"more than {max_sample_bytes} bytes")
    elif sample.problem is None:
        sample.members[extension] = data


def _outcast(member: Member) -> RawSample:
    detail = f"{member.name!r}: {member.problem}"
    return RawSample(member.name, member.offset, member.end - member.offset, {}, Reason.TAR_MEMBER_UNSAFE, detail)


def _stopped(sample: RawSample | None, cursor: Cursor, progress: Progress, error: ShardError) -> Iterator[RawSample]:
    """The last samples of a tar that cannot be read on: the whole one before the stop, and the one it hit."""
    key = split_name(progress.name)[0]
    begins = key and (sample is None or key != sample.key)
    if sample is not None and (begins or cursor.ended):
        yield sample
        sample = None
    if sample is None:
        sample = RawSample(key, progress.offset if begins else error.offset, 0)
    sample.length = max(0, error.offset - sample.offset)
    sample.members.clear()
    sample.problem = error.reason
    sample.detail = error.detail
    yield sample
