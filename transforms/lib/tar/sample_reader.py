"""Grouping the members of a tar into samples, past end marks and damage, with an account of every byte."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

from transforms.lib.errors import Reason, ShardError
from transforms.lib.tar.byte_counter import ByteCounter
from transforms.lib.tar.dotted_names import DottedNames
from transforms.lib.tar.gaps import Gap, Shapes, cut, row_of, whole_before, whole_behind
from transforms.lib.tar.header import BLOCK_BYTES, split_name
from transforms.lib.tar.packing import what_is
from transforms.lib.tar.parser import Member, Progress, scan
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar.reader import Cursor
from transforms.lib.tar.recovery import (
    behind_header,
    head_of,
    is_end_mark,
    is_sound,
    resembles_header,
    seek_header,
    swallowed_header,
)
from transforms.lib.tar_account import TarAccount
from transforms.lib.tar_limits import TarLimits


class SampleReader:
    """Groups the members of one tar, and accounts for its bytes."""

    def __init__(self, cursor: Cursor, max_sample_bytes: int, account: TarAccount, limits: TarLimits) -> None:
        self._cursor, self._max_sample_bytes, self._account = cursor, max_sample_bytes, account
        self._bytes = ByteCounter(account)
        self._progress = Progress(limits)
        self._empty = 0  # members without data
        self._seen: set[str] = set()
        self._dots = DottedNames()
        self._shapes = Shapes()
        self._shape: tuple[str, ...] = ()  # of the last whole sample, where its first name has no dots
        self._sample: RawSample | None = None  # that is being read
        self._last = Member("", 0, 0, 0, 0, "", "")  # that was read, be it of a sample or not
        self._data = b""
        self._gap: Gap | None = None  # before the sample that is being read, or before the next one
        self._held: RawSample | None = None  # before the gap, until the next key shows whether the gap cuts it in two
        self._held_key = ""
        self._archive = 0  # where the present one of several archives that are joined begins

    def samples(self) -> Iterator[RawSample]:
        """Yields all samples, and completes the account."""
        while True:
            try:
                yield from self._members()
                more = yield from self._zeros()
            except ShardError as error:
                if error.reason is Reason.TAR_TOO_LARGE:
                    more = yield from self._rest(error)
                else:
                    more = yield from self._damage(error.reason, error.detail)
            if not more:
                return

    def _members(self) -> Iterator[RawSample]:
        """Yields the samples that end before the next zeros, and leaves the last one in ``_sample``."""
        sample, most = self._sample, self._max_sample_bytes
        longest = min(most, self._progress.limits.max_member_bytes)
        member, data = self._last, self._data
        try:
            for member, data in scan(self._cursor, self._progress, longest):
                if not data and not member.size:
                    self._count_empty(member)
                key, extension = split_name(member.name)
                if not key:
                    self._account.keyless += 1
                    if member.problem:
                        yield self._outcast(member)
                    continue
                if (
                    sample is None
                    or sample.key != key
                    or ("." in extension and self._dots.begins_another(sample, extension))
                ):
                    if self._gap is not None:
                        yield from self._finished()
                        yield from self._released(key)
                    elif sample is not None:
                        yield self._whole(sample)
                    sample = self._sample = self._sample or self._begin(key, extension, member)
                sample.add(extension, member, data, most)
        finally:
            self._last, self._data = member, data

    def _count_empty(self, member: Member) -> None:
        self._empty += 1
        most = self._progress.limits.max_empty_members
        if self._empty > most:
            raise ShardError(Reason.TAR_TOO_LARGE, member.offset, f"more than {most} empty members")

    def _begin(self, key: str, extension: str, member: Member) -> RawSample:
        sample, seen = RawSample(key, member.offset, 0, {}), self._seen
        full = self._dots.begin(key, extension) if "." in extension else key
        if full in seen or (full is not key and key in seen):
            sample.reject(Reason.DUPLICATE_KEY, "the key was seen earlier in the shard")
        seen.add(full)
        return sample

    def _outcast(self, member: Member) -> RawSample:
        length = member.end - member.offset
        self._bytes.outcast(member.offset, length)
        detail = f"{member.name!r}: {member.problem}"
        return RawSample(member.name, member.offset, length, {}, Reason.TAR_MEMBER_UNSAFE, detail)

    def _finished(self) -> Iterator[RawSample]:
        """Yields the sample that is complete, and the gap before it; one that the gap cuts takes the gap with it."""
        sample, gap, self._sample = self._sample, self._gap, None
        if sample is None:
            return
        if gap is None:
            yield self._whole(sample)
        else:
            self._gap = None
            yield from self._behind_gap(sample, gap)
            self._dots.complete(sample)
            yield self._counted(sample)

    def _whole(self, sample: RawSample) -> RawSample:
        """Notes what a sample without damage beside it has, and counts it."""
        self._sample = None
        shape = tuple(sample.members)
        if shape != self._shape:
            self._note_shape(sample, shape)
        self._bytes.row(sample.offset, sample.length, sample.problem is None)
        return sample

    def _note_shape(self, sample: RawSample, shape: tuple[str, ...]) -> None:
        """Notes the shape of a whole sample, unless it is that of the last one without dots in its names."""
        if shape and "." in shape[0]:
            self._seen.update(self._dots.complete(sample))
            shape = tuple(sample.members)
        if sample.problem is None:
            self._shapes.add(shape)
            self._shape = () if "." in shape[0] else shape

    def _behind_gap(self, sample: RawSample, gap: Gap) -> Iterator[RawSample]:
        """Judges the sample behind a gap; yields the row of the gap, unless it is part of the sample's."""
        whole = whole_behind(gap, sample.key, tuple(sample.members), self._shapes, self._held_key)
        if whole or gap.end == gap.begin:
            if not gap.merged:
                yield self._counted(row_of(gap))
        elif not gap.merged:
            sample.length += sample.offset - gap.begin
            sample.offset = gap.begin
        if not whole:
            sample.reject(gap.reason, cut(gap))

    def _released(self, next_key: str) -> Iterator[RawSample]:
        """Judges the sample before a gap, once the key behind the gap is known, and yields it, or goes on with it."""
        held, gap, self._held = self._held, self._gap, None
        self._held_key = held.key if held else ""
        if held is None or gap is None:
            return
        if held.key == next_key:
            held.reject(gap.reason, cut(gap))
            self._sample, self._gap = held, None
            return
        if not whole_before(gap, held.key, tuple(held.members), self._shapes, next_key):
            held.reject(gap.reason, cut(gap))
            held.length = gap.end - held.offset
            gap.merged = True
        self._dots.complete(held)
        yield self._counted(held)

    def _flushed(self) -> Iterator[RawSample]:
        """Yields all that is not yielded yet, since no member can follow that belongs to it."""
        yield from self._finished()
        yield from self._released("")
        gap, self._gap = self._gap, None
        if gap is not None and not gap.merged:
            yield self._counted(row_of(gap))

    def _counted(self, sample: RawSample) -> RawSample:
        """Adds a row that is about to be yielded to the account."""
        self._bytes.row(sample.offset, sample.length, sample.problem is None)
        return sample

    def _zeros(self) -> Generator[RawSample, None, bool]:
        """Passes over an end mark; yields what ended there, and returns False at the end of the tar."""
        cursor, account = self._cursor, self._account
        begin = cursor.offset
        count = cursor.skip_zeros()
        if not cursor.take(1):
            yield from self._ended(count, unmarked=count == 0)
            return False
        count -= count % BLOCK_BYTES
        cursor.back(begin + count)
        sound = is_sound(cursor.take(BLOCK_BYTES))
        cursor.back(begin + count)
        if sound and is_end_mark(count, begin + count - self._archive):
            yield from self._flushed()
            self._bytes.zeros(begin, count)
            account.joined += 1
            self._archive = begin + count
            self._progress.shared.clear()
            return True
        return (yield from self._damage(Reason.TAR_CORRUPT, f"{count} zeros where a member should be", count))

    def _ended(self, zeros: int, *, unmarked: bool) -> Iterator[RawSample]:
        """Completes the account at the end of the tar, behind so many zeros."""
        account, broken, size = self._account, self._cursor.broken, self._cursor.offset
        if broken and self._gap is None:
            if zeros:
                yield from self._flushed()
            self._held, self._sample = self._sample, None
            self._gap = Gap(size - zeros, size - zeros, broken.reason, broken.detail, trusted=True)
        yield from self._flushed()
        account.size = account.read = size
        account.shards = 1
        account.broken = int(broken is not None)
        if not broken and size == zeros < BLOCK_BYTES:
            yield self._counted(RawSample("", 0, size, {}, Reason.NOT_A_TAR, what_is(bytes(size))))
        else:
            self._bytes.zeros(size - zeros, zeros)
            account.unmarked = int(unmarked and not broken)

    def _damage(self, reason: Reason, detail: str, zeros: int = 0) -> Generator[RawSample, None, bool]:
        """Goes on at the next sound header; returns False at the end of the tar.

        Args:
          reason, detail: what was found.
          zeros: bytes of zeros before the cursor, with which the damage begins.
        """
        if self._cursor.broken:
            reason, detail = self._cursor.broken.reason, self._cursor.broken.detail
        gap = Gap(self._cursor.offset - zeros if zeros else self._progress.offset, 0, reason, detail)
        head = head_of(self._cursor) if gap.begin == 0 and not self._progress.name else b""
        more = self._seek(gap, zeros)
        if head and not more and not resembles_header(head.ljust(BLOCK_BYTES, b"\0")):
            gap.reason, gap.detail = Reason.NOT_A_TAR, what_is(head)
        if zeros >= 2 * BLOCK_BYTES and not more:
            yield from self._flushed()
            self._bytes.zeros(gap.begin, zeros)
            gap.begin += zeros
            gap.detail = "bytes behind the end of the archive"
        elif zeros:
            self._account.holes += zeros
        yield from self._hold(gap)
        if not more:
            yield from self._ended(0, unmarked=False)
        return more

    def _rest(self, error: ShardError) -> Generator[RawSample, None, bool]:
        """Passes over the rest of a tar, from the last member on."""
        begin, key = self._last.offset, split_name(self._last.name)[0]
        self._cursor.skip(sys.maxsize)
        gap = Gap(begin, self._cursor.offset, error.reason, error.detail, key, trusted=True, named=True)
        yield from self._hold(gap)
        yield from self._ended(0, unmarked=False)
        return False

    def _hold(self, gap: Gap) -> Iterator[RawSample]:
        """Keeps a gap, and the sample before it, until it is known what comes behind; yields what is known."""
        if self._gap is not None and self._sample is None:
            self._gap.join(gap)
            return
        sample, before, self._sample = self._sample, self._gap, None
        if sample is not None and before is not None:
            yield from self._behind_gap(sample, before)
        self._held, self._gap = sample, gap

    def _seek(self, gap: Gap, zeros: int) -> bool:
        """Moves to the next sound header, and notes in a gap where it is and what can be told; False where is none."""
        cursor, progress, last = self._cursor, self._progress, self._last
        touches = last.end == gap.begin and split_name(last.name)[0] != ""  # the last member of the sample before it
        if zeros:
            gap.trusted = not touches or self._data[-1:] not in (b"", b"\0")
            more = seek_header(cursor, cursor.offset)
        elif progress.name:
            gap.named = gap.trusted = True
            gap.key = split_name(progress.name)[0]
            more = self._back_to(swallowed_header(cursor, progress.data_offset, cursor.offset))
        elif (
            self._sample is not None
            and last.end == gap.begin
            and self._back_to(swallowed_header(cursor, last.data_offset, gap.begin))
        ):
            gap.key, gap.begin, more = self._sample.key, cursor.offset, True
            self._sample.length = gap.begin - self._sample.offset
        else:
            gap.trusted = not touches
            more = behind_header(cursor, gap, self._shapes)
        gap.end = cursor.offset
        return more

    def _back_to(self, offset: int | None) -> bool:
        if offset is not None:
            self._cursor.back(offset)
        return offset is not None
