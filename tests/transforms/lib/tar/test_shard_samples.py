"""The tar parser against tarfile and webdataset, damage of every kind, and what is written."""

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile

import pytest
import webdataset
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset.tariterators import group_by_keys, tar_file_iterator

from transforms.lib.errors import Reason, SampleError, ShardError
from transforms.lib.tar import streams, writer
from transforms.lib.tar.parser import Progress, scan
from transforms.lib.tar.reader import Cursor
from transforms.lib.tar.shard_samples import (
    END_OF_ARCHIVE,
    open_tar,
    read_members,
    read_samples,
    split_name,
    write_member,
)
from transforms.lib.tar_account import TarAccount

FORMATS = (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
ENDINGS = ("jpg", "JPG", "json", "txt", "seg.png", "")
WORD = st.text(st.sampled_from("abcXYZ019_-é語🙂 "), min_size=1, max_size=30).filter(lambda word: word.strip())
FOLDER = st.lists(st.one_of(WORD, st.just("v1.0"), st.just("d" * 60)), max_size=4).map("/".join)
NAME = st.builds(
    lambda folder, stem, ending: (folder + "/" if folder else "") + stem + ("." + ending if ending else ""),
    FOLDER,
    WORD,
    st.sampled_from(ENDINGS),
)
SIZE = st.sampled_from((0, 1, 511, 512, 513, 1024, 5000))


def tar_of(members, form=tarfile.USTAR_FORMAT, end=True):
    """An archive by tarfile of (name, data or None for a folder, or a TarInfo, data)."""
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w", format=form) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if data is None:
                info.type = info.type if isinstance(name, tarfile.TarInfo) else tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        length = archive.offset
    return stored.getvalue() if end else stored.getvalue()[:length]


def samples_of(data, **options):
    return list(read_samples(io.BytesIO(data), **options))


def special(name, flag, target=""):
    info = tarfile.TarInfo(name)
    info.type = flag
    info.linkname = target
    return info


def pool(num_samples=4, size=700):
    members = []
    for index in range(num_samples):
        members += [(f"{index:04d}.jpg", bytes([index]) * size), (f"{index:04d}.txt", b"caption %d" % index)]
    return members


def reseal(block, **fields):
    """A header block with fields replaced (name: (offset, bytes)) and its checksum set again."""
    header = bytearray(block[:512])
    for offset, value in fields.values():
        header[offset : offset + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + block[512:]


def members_of(data):
    """Name, size, data and problem of each member; the same whether the tar begins with them or not."""
    alone = [(m.name, m.size, body, m.problem) for m, body in read_members(io.BytesIO(data))]
    behind = read_members(io.BytesIO(write_member("first.txt", b"") * 2 + data))
    assert [(m.name, m.size, body, m.problem) for m, body in behind][2:] == alone
    return alone


def stop_of(data):
    """The reason for which this tar yields nothing; the same behind a good member, where the fast path reads."""
    (only,) = samples_of(data)
    *before, last = samples_of(write_member("first.txt", b"") + data)
    assert (last.problem, last.members) == (only.problem, only.members) == (only.problem, {})
    assert all(s.problem is None for s in before)
    return only.problem


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, whatever is asked for."""

    def __init__(self, data, most=37):
        self.stream = io.BytesIO(data)
        self.most = most

    def read(self, size=-1):
        return self.stream.read(min(self.most, size) if size >= 0 else self.most)


# -- members ------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAME, st.one_of(SIZE, st.none())), min_size=1, max_size=8),
    st.sampled_from(FORMATS),
    st.booleans(),
    st.integers(0, 99),
)
def test_members_equal_those_of_tarfile(entries, form, end, seed):
    random_bytes = random.Random(seed).randbytes
    members = [(name, None if size is None else random_bytes(size)) for name, size in entries]
    try:
        data = tar_of(members, form, end)
    except ValueError:
        return  # too long for ustar
    expected = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            if info.isreg():
                content = archive.extractfile(info).read()
                expected.append((info.name, info.offset, info.offset_data, info.size, content))
    found = [(m.name, m.offset, m.data_offset, m.size, body) for m, body in read_members(io.BytesIO(data))]
    assert found == expected
    slow = [(m.name, m.offset, m.data_offset, m.size, body) for m, body in read_members(Trickle(data, 700))]
    assert slow == expected
    assert all(not m.problem and m.kind == "file" for m, _ in read_members(io.BytesIO(data)))


def test_member_end_is_where_the_next_one_begins():
    members = [m for m, _ in read_members(io.BytesIO(tar_of(pool(3, 513))))]
    assert [m.end for m in members[:-1]] == [m.offset for m in members[1:]]
    assert [m.end - m.offset for m in members] == [1536, 1024] * 3


def test_reads_v7_headers_and_contiguous_files():
    plain = write_member("a.txt", b"hello")
    v7 = reseal(plain, flag=(156, b"\0"), magic=(257, bytes(8)))
    folder = reseal(write_member("x", b""), name=(0, b"x/"), flag=(156, b"\0"), magic=(257, bytes(8)))
    contiguous = reseal(write_member("b.txt", b"world"), flag=(156, b"7"))
    found = members_of(v7 + folder + contiguous)
    assert found == [("a.txt", 5, b"hello", ""), ("b.txt", 5, b"world", "")]


def test_reads_base_256_sizes_and_sizes_of_twelve_digits():
    plain = write_member("a.txt", b"hello")
    for field in (b"\x80" + (5).to_bytes(11, "big"), b"000000000005", b"5\0" + b"9" * 10, b"          5 "):
        assert members_of(reseal(plain, size=(124, field))) == [("a.txt", 5, b"hello", "")]


def test_reads_nameless_members_and_names_that_fill_their_field():
    nameless = reseal(write_member("a.txt", b"x"), name=(0, bytes(100)))
    full = "n" * 96 + ".txt"
    assert members_of(nameless) == [("", 1, b"x", "")]
    assert members_of(write_member(full, b"x")) == [(full, 1, b"x", "")]


def test_empty_pax_values_say_nothing():
    extension = reseal(write_member("p", b"8 path=\n8 size=\n"), flag=(156, b"x"))
    assert members_of(extension + write_member("a.txt", b"x")) == [("a.txt", 1, b"x", "")]


def test_every_digit_of_a_checksum_counts():
    block = bytearray(write_member("a.txt", b"x"))
    block[154:156] = b"7\0"
    assert stop_of(bytes(block)) is Reason.TAR_CORRUPT


def test_accepts_the_signed_checksums_of_old_writers():
    name = "é.txt"
    block = reseal(write_member("a.txt", b"hello"), name=(0, name.encode()))
    header = bytearray(block[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in header)
    assert members_of(bytes(header) + block[512:]) == [(name, 5, b"hello", "")]


def test_ignores_the_times_that_gnu_tar_keeps_where_ustar_has_its_prefix():
    block = reseal(write_member("a.txt", b"x"), magic=(257, b"ustar  \0"), atime=(345, b"14000000000\0"))
    assert members_of(block) == [("a.txt", 1, b"x", "")]


def test_size_in_a_pax_header_wins():
    body = write_member("a.txt", b"hello")
    record = b"10 size=5\n"
    extension = reseal(write_member("p", record), flag=(156, b"x"))
    lying = reseal(body, size=(124, b"00000000000\0"))
    ((member, data),) = read_members(io.BytesIO(extension + lying))
    assert (member.offset, member.data_offset, data) == (0, 1536, b"hello")


def test_a_harmless_global_header_changes_nothing():
    comment = reseal(write_member("pax_global_header", b"13 comment=x\n"), flag=(156, b"g"))
    found = samples_of(comment + tar_of(pool(2)))
    assert [(s.key, s.problem, s.offset) for s in found] == [("0000", None, 0), ("0001", None, 3584)]


def test_a_global_header_that_names_members_makes_them_unsafe():
    comment = reseal(write_member("pax_global_header", b"14 path=a.txt\n"), flag=(156, b"g"))
    assert {m.problem for m, _ in read_members(io.BytesIO(comment + tar_of(pool(1))))} == {
        "a global header sets its name or size"
    }


@pytest.mark.parametrize(
    "name",
    ["/etc/a.txt", "../a.txt", "x/../a.txt", "x/..", "a\n.txt", "a\x7f.txt", "a\x85.txt", "a\0b.txt"],
)
def test_unsafe_names_are_reported_and_not_read(name):
    data = tar_of([("ok.txt", b"fine"), (name, b"secret")], tarfile.PAX_FORMAT)
    if "\0" in name:  # tarfile would cut it
        path = b"17 path=a\0b.txt\n"
        path = b"16" + path[2:]
        data = reseal(write_member("p", path), flag=(156, b"x")) + write_member("z.txt", b"secret")
        data = write_member("ok.txt", b"fine") + data
    (_, _, fine, no_problem), (found_name, _, body, problem) = members_of(data)
    assert (fine, no_problem) == (b"fine", "")
    assert (found_name, body) == (name, b"")
    assert problem
    found = {s.key.partition(".")[0]: s.problem for s in samples_of(data)}
    assert len(found) == 2
    assert found.pop("ok") is None
    assert list(found.values()) == [Reason.TAR_MEMBER_UNSAFE]


@pytest.mark.parametrize("name", ["a..b.txt", "x/..y.txt.z", "./a.txt", "a b.txt", "a\u00a0b.txt", "...a"])
def test_harmless_names_are_read(name):
    assert members_of(tar_of([(name, b"x")], tarfile.PAX_FORMAT)) == [(name, 1, b"x", "")]


def test_names_that_are_not_utf8_are_unsafe_but_text():
    block = reseal(write_member("a.txt", b"x"), name=(0, b"\xff.txt"))
    assert members_of(block) == [("\\xff.txt", 1, b"", "its name is not UTF-8")]


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.CHRTYPE, "character device"),
        (tarfile.BLKTYPE, "block device"),
        (tarfile.FIFOTYPE, "fifo"),
        (b"Z", "unknown type"),
    ],
)
def test_links_and_devices_spoil_their_sample_only(flag, kind):
    members = [*pool(1), (special("0000.png", flag, "0000.jpg"), None), *pool(2)[2:]]
    data = tar_of(members)
    assert [m.kind for m, _ in read_members(io.BytesIO(data))] == ["file", "file", kind, "file", "file"]
    first, second = samples_of(data)
    assert (first.problem, first.members) == (Reason.TAR_MEMBER_UNSAFE, {})
    assert kind in first.detail
    assert (second.key, second.problem) == ("0001", None)


def test_sparse_files_of_both_kinds_are_unsafe_and_passed_over():
    record = b"25 GNU.sparse.name=a.jpg\n"
    pax = reseal(write_member("p", record), flag=(156, b"x")) + write_member("GNUSparseFile.0/x", b"map")
    old = reseal(write_member("b.jpg", b""), flag=(156, b"S"), size=(124, b"00000001000\0"), more=(482, b"\1"))
    blocks = bytes(504) + b"\1" + bytes(7) + bytes(512) + b"d" * 512
    found = samples_of(pax + old + blocks + tar_of(pool(1)))
    assert [(s.key, s.problem) for s in found] == [
        ("a", Reason.TAR_MEMBER_UNSAFE),
        ("b", Reason.TAR_MEMBER_UNSAFE),
        ("0000", None),
    ]


# -- damage -------------------------------------------------------------------------------------------------


def test_a_bad_checksum_costs_its_sample_alone():
    data = bytearray(tar_of(pool(4)))
    data[5120 + 110] ^= 1  # owner of the third sample's first member: two samples of 1536 + 1024 bytes before it
    first, second, third, last = samples_of(bytes(data))
    assert (third.key, third.problem, third.offset, third.length) == ("0002", Reason.TAR_CORRUPT, 5120, 2560)
    assert "checksum" in third.detail
    assert [first, second, last] == [sample for sample in samples_of(tar_of(pool(4))) if sample.key != "0002"]
    with pytest.raises(ShardError) as caught:
        list(read_members(io.BytesIO(bytes(data))))
    assert (caught.value.reason, caught.value.offset) == (Reason.TAR_CORRUPT, 5120)


@pytest.mark.parametrize("size", [0, 300])
def test_truncation_anywhere_is_named_or_leaves_a_whole_tar(size):
    members = [*pool(3, size), ("d" * 120 + ".txt", b"x" * 600)]
    data = tar_of(members, tarfile.PAX_FORMAT, end=False)
    whole = samples_of(data)
    bounds = {0: 0} | {m.end: number for number, (m, _) in enumerate(read_members(io.BytesIO(data)), 1)}
    cuts = sorted({*range(0, len(data), 97), *bounds, *(b + 1 for b in bounds), *(b - 1 for b in bounds if b)})
    for cut in cuts:
        if cut > len(data):
            continue
        found = samples_of(data[:cut])
        if cut in bounds and cut:
            assert all(s.problem is None for s in found)
            assert sum(len(s.members) for s in found) == bounds[cut]
            continue
        last = found.pop()
        assert last.problem is Reason.TAR_TRUNCATED or (cut < 512 and last.problem is Reason.NOT_A_TAR)
        assert (last.members, last.offset + last.length <= cut) == ({}, True)
        assert found == whole[: len(found)]
        held = sum(len(s.members) for s in found)
        assert held <= sum(bound <= cut for bound in bounds) - 1 <= held + 2


def test_a_sample_whose_first_member_is_cut_does_not_take_the_one_before_with_it():
    data = tar_of(pool(2), end=False)
    first, last = samples_of(data[: 2560 + 512 + 100])
    assert (first.key, first.problem, len(first.members)) == ("0000", None, 2)
    assert (last.key, last.offset, last.length) == ("0001", 2560, 612)
    assert last.problem is Reason.TAR_TRUNCATED


def test_one_zero_block_ends_a_stream_but_not_an_archive():
    data = tar_of(pool(1), end=False)
    assert [s.problem for s in samples_of(data + bytes(512))] == [None]
    behind = samples_of(data + END_OF_ARCHIVE + b"garbage")[1]
    assert (behind.problem, behind.offset, behind.length) == (Reason.TAR_CORRUPT, len(data) + 1024, 7)
    *_, hole, again, _ = samples_of(tar_of(pool(2), end=False) + bytes(512) + tar_of(pool(4)[4:]))
    assert (hole.problem, hole.offset, hole.length) == (Reason.TAR_CORRUPT, 2 * len(data), 512)
    assert (again.key, again.problem) == ("0002", None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_A_TAR),
        (b"<html>", Reason.NOT_A_TAR),
        (b"<html>" * 100, Reason.NOT_A_TAR),
        (bytes(511), Reason.NOT_A_TAR),
    ],
)
def test_what_is_no_tar_gives_one_row_without_a_key(data, reason):
    (only,) = samples_of(data)
    assert (only.key, only.offset, only.length, only.members, only.problem) == ("", 0, len(data), {}, reason)


def test_an_empty_archive_has_no_samples():
    assert samples_of(END_OF_ARCHIVE) == []
    assert samples_of(bytes(10240)) == []


@pytest.mark.parametrize("field", [b"\x80" + b"\0" * 3 + b"\x0f" * 8, b"777777777777"])
@pytest.mark.parametrize("flag", [b"0", b"x", b"L", b"2", b"S"])
def test_sizes_of_petabytes_cost_nothing(field, flag):
    reason = stop_of(reseal(write_member("a.txt", b"hello"), size=(124, field), flag=(156, flag)))
    if flag == b"2":  # links have no data: the next block is no header
        assert reason is Reason.TAR_MEMBER_UNSAFE
    else:
        assert reason is (Reason.TAR_CORRUPT if flag in b"xL" else Reason.TAR_TRUNCATED)


@pytest.mark.parametrize("record", [b"", b"99 path=a\n", b"9 path=a\nx", b"x path=a\n", b"10 size=x\n", b"0 a=b\n"])
def test_malformed_pax_headers_are_corrupt(record):
    extension = reseal(write_member("p", record), flag=(156, b"x"))
    if record:
        assert stop_of(extension + write_member("a.txt", b"")) is Reason.TAR_CORRUPT
    else:
        assert stop_of(extension) is Reason.TAR_TRUNCATED


def test_extension_headers_over_a_mebibyte_are_corrupt():
    for size, reason in ((1 << 20, None), ((1 << 20) + 1, Reason.TAR_CORRUPT)):
        long_name = reseal(write_member("p", b"a.txt".ljust(size, b"\0")), flag=(156, b"L"))
        assert samples_of(long_name + write_member("b.txt", b""))[0].problem is reason


@pytest.mark.parametrize("field", [b"\xff" * 12, b"-0000000001\0", b"00000000008\0", b"\x81" + b"\0" * 11])
def test_sizes_that_are_no_numbers_are_corrupt(field):
    assert stop_of(reseal(write_member("a.txt", b""), size=(124, field))) is Reason.TAR_CORRUPT


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(FORMATS))
def test_flipped_bits_yield_problems_and_never_raise(data, form):
    stored = bytearray(tar_of([*pool(3, 600), ("n" * 90 + "/long.txt", b"y" * 40)], form))
    for position in data.draw(st.lists(st.integers(0, len(stored) * 8 - 1), min_size=1, max_size=6)):
        stored[position // 8] ^= 1 << position % 8
    account = TarAccount()
    found = samples_of(bytes(stored), account=account)
    account.check("the tar")
    assert account.size == len(stored)
    for sample in found:
        assert bool(sample.members) == (sample.problem is None)
        assert 0 <= sample.offset <= sample.offset + sample.length <= len(stored)


# -- samples ------------------------------------------------------------------------------------------------


def test_ranges_cover_the_members_headers_and_padding():
    data = tar_of(pool(5, 700), tarfile.PAX_FORMAT)
    for sample in samples_of(data):
        block = data[sample.offset : sample.offset + sample.length]
        with tarfile.open(fileobj=io.BytesIO(block + END_OF_ARCHIVE)) as archive:
            assert archive.getnames() == [f"{sample.key}.jpg", f"{sample.key}.txt"]
            assert archive.offset == sample.length
    assert [s.offset for s in samples_of(data)] == [2560 * index for index in range(5)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAME, SIZE), min_size=1, max_size=8), st.sampled_from(FORMATS[1:]))
def test_groups_as_webdataset_does(entries, form):
    members = [(name, bytes([number]) * size) for number, (name, size) in enumerate(entries)]
    data = tar_of(members, form)
    files = ({**f, "__url__": ""} for f in tar_file_iterator(io.BytesIO(data)))
    theirs = []
    try:
        for sample in group_by_keys(files):
            theirs.append((sample.pop("__key__"), {k: v for k, v in sample.items() if k != "__url__"}))
    except ValueError:  # an extension twice: there it ends
        assert Reason.DUPLICATE_KEY in {s.problem for s in samples_of(data)}
    ours = samples_of(data)[: len(theirs)]
    assert [s.key for s in ours] == [key for key, _ in theirs]
    keys = [s.key for s in ours]
    for number, sample in enumerate(ours):
        again = sample.key in keys[:number]
        assert sample.problem is (Reason.DUPLICATE_KEY if again else None)
        assert sample.members == ({} if again else theirs[number][1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", ("a", "jpg")),
        ("a.b.JPG", ("a", "b.jpg")),
        ("v1.0/x/a.seg.png", ("v1.0/x/a", "seg.png")),
        ("./a.txt", ("./a", "txt")),
        ("a.", ("a", "")),
        ("README", ("", "")),
        (".hidden", ("", "")),
        ("x/._a.jpg", ("", "")),
        ("__meta__", ("", "")),
        ("__meta__/a.txt", ("", "")),
        ("photos/Thumbs.db", ("", "")),
        ("desktop.ini", ("", "")),
        ("thumbs.jpg", ("thumbs", "jpg")),
        ("__x.txt", ("__x", "txt")),
        ("___.txt", ("___", "txt")),
    ],
)
def test_splits_names(name, expected):
    assert split_name(name) == expected


def test_the_first_sample_of_a_key_is_good_and_the_later_ones_are_not():
    found = samples_of(tar_of([*pool(2), *pool(1), *pool(3)[4:]]))
    assert [(s.key, s.problem) for s in found] == [
        ("0000", None),
        ("0001", None),
        ("0000", Reason.DUPLICATE_KEY),
        ("0002", None),
    ]


def test_an_extension_twice_spoils_the_sample():
    (only,) = samples_of(tar_of([("a.jpg", b"1"), ("a.JPG", b"2"), ("a.txt", b"3")]))
    assert (only.problem, only.members, only.length) == (Reason.DUPLICATE_KEY, {}, 3072)


def test_extensions_reserved_by_webdataset_are_unsafe():
    (only,) = samples_of(tar_of([("a.jpg", b"1"), ("a.__key__", b"2")]))
    assert only.problem is Reason.TAR_MEMBER_UNSAFE


def test_directories_and_files_without_a_key_part_nothing():
    members = [("x", None), ("x/a.jpg", b"1"), ("x/README", b"2"), ("x/y", None), ("x/a.txt", b"3")]
    (only,) = samples_of(tar_of(members))
    assert (only.key, only.members, only.offset) == ("x/a", {"jpg": b"1", "txt": b"3"}, 512)


def test_an_unsafe_member_without_a_key_comes_out_alone():
    members = [("a.jpg", b"1"), (special("../../.profile", tarfile.REGTYPE), b"2"), ("a.txt", b"3")]
    outcast, sample = samples_of(tar_of(members))
    assert (outcast.key, outcast.problem) == ("../../.profile", Reason.TAR_MEMBER_UNSAFE)
    assert (sample.key, sample.problem, sorted(sample.members)) == ("a", None, ["jpg", "txt"])


def test_too_large_samples_are_named_and_the_others_kept():
    members = [("a.jpg", b"x" * 5000), ("a.txt", b"y"), ("b.jpg", b"x" * 2500), ("b.png", b"x" * 2500)]
    found = samples_of(tar_of([*members, ("c.txt", b"z")]), max_sample_bytes=4096)
    assert [(s.key, s.problem, s.members) for s in found] == [
        ("a", Reason.SAMPLE_TOO_LARGE, {}),
        ("b", Reason.SAMPLE_TOO_LARGE, {}),
        ("c", None, {"txt": b"z"}),
    ]
    assert [s.length for s in found] == [6656, 6144, 1024]


def test_members_over_the_limit_are_passed_over_unread():
    data = tar_of([("a.txt", b"1"), ("b.jpg", b"x" * 2000), ("c.txt", b"2")])
    found = [(m.size, body) for m, body in scan(Cursor(io.BytesIO(data)), Progress(), 1999)]
    assert found == [(1, b"1"), (2000, b""), (1, b"2")]


def test_samples_larger_than_the_buffer_are_whole():
    data = os.urandom(3_000_001)
    members = [("a.txt", b"1"), ("b.jpg", data), ("b.txt", b"2"), ("c.txt", b"3")]
    found = samples_of(tar_of(members))
    assert [s.members for s in found] == [{"txt": b"1"}, {"jpg": data, "txt": b"2"}, {"txt": b"3"}]


def test_errors_of_the_storage_are_not_swallowed():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(read_samples(Broken()))


# -- compressed ---------------------------------------------------------------------------------------------


def gz(data):
    return gzip.compress(data, mtime=0)


def zst(data):
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def skippable(data):
    return b"\x5a\x2a\x4d\x18" + (20).to_bytes(4, "little") + bytes(20) + zst(data)


PACKERS = {"gz": gz, "zst": zst}


@pytest.mark.parametrize(
    ("name", "pack"), [("A.TAR.GZ", gz), ("a.tgz", gz), ("a.tar.zst", zst), ("a.tar.zst", skippable)]
)
@pytest.mark.parametrize("parts", [1, 3])
def test_compressed_tars_give_the_same_samples(name, pack, parts):
    data = tar_of(pool(40, 9000))
    step = len(data) // parts + 1
    stored = b"".join(pack(data[start : start + step]) for start in range(0, len(data), step))
    assert list(read_samples(open_tar(io.BytesIO(stored)))) == samples_of(data)
    assert list(read_samples(open_tar(Trickle(stored)))) == samples_of(data)
    assert open_tar(io.BytesIO(stored)).read() == data


@pytest.mark.parametrize(
    ("pack", "packing"), [(gz, "gzip"), (zst, "zstd"), (bz2.compress, "bzip2"), (lzma.compress, "xz")]
)
def test_the_first_bytes_say_how_a_tar_is_packed(pack, packing):
    data = tar_of(pool(40, 9000))
    stored = pack(data[:200_000]) + pack(data[200_000:])
    stream = open_tar(Trickle(stored, 1000))
    assert (stream.packing, stream.read()) == (packing, data)
    assert stream.taken == len(stored)
    assert [s.problem for s in read_samples(open_tar(io.BytesIO(stored[: len(stored) // 2])))][-1:] == [
        Reason.TAR_TRUNCATED
    ]
    assert not hasattr(open_tar(io.BytesIO(data)), "packing")
    assert samples_of(data) == list(read_samples(open_tar(Trickle(data, 700))))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>" + b"x" * 5000, "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "an XML document"),
        (b"PK\x03\x04" + bytes(1000), "a zip archive"),
        (b"\x04\x22\x4d\x18" + b"q" * 1000, "lz4"),
        (b"\xff\xd8\xff\xe0" + b"q" * 1000, "a JPEG image"),
        (b"", "an empty file"),
        (b"whatever it is", "it begins with"),
    ],
)
def test_what_is_no_tar_is_named_as_what_it_is(data, words):
    for stored in (data, gz(data)):
        (only,) = read_samples(open_tar(io.BytesIO(stored)))
        assert (only.key, only.problem, only.offset, only.length) == ("", Reason.NOT_A_TAR, 0, len(data))
        assert words in only.detail


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("end", [True, False])
def test_cut_compressed_tars_are_truncated(kind, end):
    random.seed(0)
    data = tar_of([(f"{n:04d}.jpg", random.randbytes(400)) for n in range(300)], end=end)
    stored = PACKERS[kind](data)
    whole = samples_of(data)
    for cut in (0, 20, len(stored) // 2, len(stored) - 9, len(stored) - 1):
        found = list(read_samples(open_tar(io.BytesIO(stored[:cut]))))
        assert found[-1].problem is (Reason.TAR_TRUNCATED if cut else Reason.NOT_A_TAR)
        assert found[:-1] == whole[: len(found) - 1]


def test_a_zstd_file_cut_between_blocks_that_end_a_member_is_truncated():
    compressor = zstd.ZstdCompressor()
    block = write_member("a.txt", b"x" * 512)
    first = compressor.compress(block, mode=compressor.FLUSH_BLOCK)
    rest = compressor.compress(END_OF_ARCHIVE) + compressor.flush()
    assert [s.problem for s in read_samples(open_tar(io.BytesIO(first + rest)))] == [None]
    assert [s.problem for s in read_samples(open_tar(io.BytesIO(first)))] == [Reason.TAR_TRUNCATED]


SKIPPABLE = b"\x5a\x2a\x4d\x18" + (20).to_bytes(4, "little") + bytes(20)


def unpacked(stored, limit):
    """Returns what can be read of a zstd tar, and the reason for which reading stopped; None at a good end."""
    stream, data, offset, reason = streams.ZstdStream(io.BytesIO(stored)), b"", None, None
    try:
        while piece := stream.read(limit):
            data += piece
    except ShardError as error:
        offset, reason = error.offset, error.reason
    assert offset in (None, len(data))
    return data, reason


@pytest.mark.parametrize("limit", [100, 1 << 20])
@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (b"", None),
        (SKIPPABLE, None),
        (zst(b""), None),
        (SKIPPABLE + zst(b"") + SKIPPABLE, None),
        (b"\x28", Reason.TAR_TRUNCATED),
        (b"\x28\xb5\x2f\xfd", Reason.TAR_TRUNCATED),  # the magic number of a frame
        (zst(b"more")[:-1], Reason.TAR_TRUNCATED),
        (SKIPPABLE[:6], Reason.TAR_TRUNCATED),
        (SKIPPABLE[:-1], Reason.TAR_TRUNCATED),
        (bytes(3), Reason.TAR_CORRUPT),
        (bytes(4), Reason.TAR_CORRUPT),
        (b"garbage!", Reason.TAR_CORRUPT),
    ],
)
def test_what_stands_behind_a_zstd_frame_decides_how_reading_ends(behind, reason, limit):
    data = random.Random(2).randbytes(3000)
    head, end = (data, reason) if behind != zst(b"more")[:-1] else (data + b"more", reason)
    assert unpacked(zst(data) + behind, limit) == (head, end)
    assert unpacked(SKIPPABLE + zst(data[:9]) + zst(data[9:]) + behind, limit) == (head, end)
    assert unpacked(behind, limit)[1] == (reason or (None if behind else Reason.TAR_TRUNCATED))


@pytest.mark.parametrize("limit", [1000, 1 << 20])
def test_every_cut_of_a_zstd_file_is_truncated_and_gives_a_prefix(limit):
    data = random.Random(3).randbytes(150_000) + b"words " * 60_000
    stored = zst(data[:70_000]) + SKIPPABLE + zst(data[70_000:])
    good = {len(zst(data[:70_000])), len(zst(data[:70_000])) + len(SKIPPABLE), len(stored)}
    cuts = {*range(24), *range(0, len(stored), 3001), *(g - n for g in good for n in range(6))}
    for cut in cuts:
        head, reason = unpacked(stored[:cut], limit)
        assert data.startswith(head)
        assert reason is (None if cut in good else Reason.TAR_TRUNCATED)


def test_a_flipped_bit_in_a_zstd_file_never_gives_other_bytes_without_a_reason():
    chance = random.Random(4)
    data = chance.randbytes(2000) + b"words " * 3000
    stored, reasons = zst(data), set()
    for _ in range(200):
        damaged = bytearray(stored)
        damaged[chance.randrange(len(stored))] ^= 1 << chance.randrange(8)
        head, reason = unpacked(bytes(damaged), 1 << 20)
        assert reason is not None or head == data
        reasons.add(reason)
    assert Reason.TAR_CORRUPT in reasons


@pytest.mark.parametrize("kind", PACKERS)
def test_damage_behind_the_last_sample_is_seen_and_spoils_none(kind):
    stored = bytearray(PACKERS[kind](tar_of(pool(3))))
    stored[-5 if kind == "gz" else -2] ^= 1  # the checksum of the content
    for stream in (io.BytesIO(stored), Trickle(stored, 1)):
        *whole, last = read_samples(streams.unpacked(stream, {"gz": "gzip", "zst": "zstd"}[kind]))
        assert (last.key, last.problem) == ("", Reason.TAR_CORRUPT)
        assert all(s.problem is None for s in whole)
    assert [s.key for s in whole] == ["0000", "0001", "0002"]  # byte by byte, all came before the damage


@pytest.mark.parametrize("kind", PACKERS)
def test_flipped_bits_in_compressed_tars_never_raise(kind):
    chance = random.Random(1)
    stored = PACKERS[kind](tar_of(pool(30, 2000)))
    for _ in range(300):
        damaged = bytearray(stored)
        damaged[chance.randrange(len(stored))] ^= 1 << chance.randrange(8)
        found = list(read_samples(open_tar(io.BytesIO(bytes(damaged)))))
        assert all(s.problem is None or s.problem in Reason for s in found)


@pytest.mark.parametrize("kind", PACKERS)
def test_bombs_are_read_in_bounded_pieces(kind):
    stored = PACKERS[kind](bytes(50_000_000))
    stream = open_tar(io.BytesIO(stored))
    assert 0 < len(stream.read(1000)) <= 1000


# -- writing ------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(NAME, st.binary(max_size=1500))
def test_writes_what_tarfile_writes(name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    expected = info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)
    assert write_member(name, data) == expected


@pytest.mark.parametrize("length", [*range(95, 110), 989, 990, 991, 992, 993, 994, 9987, 9988, 9989, 9990])
def test_writes_names_of_every_length(length):
    name = "n" * (length - 4) + ".txt"
    with tarfile.open(fileobj=io.BytesIO(write_member(name, b"x") + END_OF_ARCHIVE)) as archive:
        assert archive.getnames() == [name]


def test_announces_sizes_over_8_gib_in_a_pax_header():
    class Huge(bytes):
        def __len__(self):
            return 8**11

    head = write_member("a.bin", Huge())
    assert b"19 size=8589934592\n" in head[512:1024]
    (only,) = samples_of(head)
    assert (only.problem, only.detail) == (
        Reason.SAMPLE_TOO_LARGE,
        "",
    ) or only.problem is Reason.TAR_TRUNCATED
    info = tarfile.TarInfo("a.bin")
    info.size = 8**11
    assert head == info.tobuf(tarfile.PAX_FORMAT)


@pytest.mark.parametrize("name", ["", "/a", "../a", "a\nb", "a\0b"])
def test_refuses_to_write_unsafe_names(name):
    with pytest.raises(ValueError, match="not a name"):
        write_member(name, b"")


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(("jpg", "json", "txt", "seg.png", "npz")), st.binary(max_size=1100), min_size=1),
    st.sampled_from(FORMATS),
    st.sampled_from(("0" * 32 + "-0", "x/y", "k" * 110, "clé")),
)
def test_samples_under_new_keys_open_with_tarfile_and_webdataset(members, form, new_key):
    entries = [("fold.er", None), *((f"fold.er/old.{e}", d) for e, d in members.items()), ("next.txt", b"")]
    data = tar_of(entries, form)
    sample = samples_of(data)[0]
    block = data[sample.offset : sample.offset + sample.length]
    written = writer.write_sample(new_key, writer.members_of(memoryview(block)))
    assert written == writer.write_sample(new_key, writer.members_of(block))
    assert written == b"".join(write_member(f"{new_key}.{e}", d) for e, d in members.items())
    with tarfile.open(fileobj=io.BytesIO(written + END_OF_ARCHIVE)) as archive:
        assert {i.name: archive.extractfile(i).read() for i in archive} == {
            f"{new_key}.{e}": d for e, d in members.items()
        }
        assert all((i.mode, i.uid, i.gid, i.mtime, i.uname) == (0o644, 0, 0, 0, "") for i in archive)
    (back,) = samples_of(written + END_OF_ARCHIVE)
    assert (back.key, back.members) == (new_key, members)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves files open
def test_shards_of_samples_under_new_keys_open_with_the_webdataset_library(tmp_path):
    data = tar_of(pool(5))
    shard = tmp_path / "00000000.tar"
    parts = [data[s.offset : s.offset + s.length] for s in samples_of(data)]
    blocks = [writer.write_sample(f"{9 - n:032x}", writer.members_of(part)) for n, part in enumerate(parts)]
    shard.write_bytes(b"".join(blocks) + END_OF_ARCHIVE)
    found = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    assert [(f["__key__"], f["jpg"], f["txt"]) for f in found] == [
        (f"{9 - n:032x}", bytes([n]) * 700, b"caption %d" % n) for n in range(5)
    ]


def test_a_sample_has_no_folders_and_no_members_without_a_key():
    members = [("a.jpg", b"1"), ("d", None), ("README", b"2"), ("a.txt", b"3")]
    data = tar_of(members, end=False)
    written = writer.write_sample("k", writer.members_of(data))
    assert written == write_member("k.jpg", b"1") + write_member("k.txt", b"3")


def test_ranges_that_are_not_one_good_sample_are_refused():
    data = tar_of(pool(2), end=False)
    with pytest.raises(ShardError, match="in the range of"):
        writer.members_of(data)
    with pytest.raises(ShardError, match="end early"):
        writer.members_of(data[:1000])
    with pytest.raises(SampleError, match="symbolic link"):
        writer.members_of(tar_of([(special("a.jpg", tarfile.SYMTYPE, "b"), None)], end=False))
    for key in ("a.b", "", "x/", "__k__/a"):
        with pytest.raises(ValueError, match="not a key"):
            writer.write_sample(key, writer.members_of(tar_of(pool(1), end=False)))
