"""What every store's client must do, on a real disk and on real servers; a new client is tested once it is registered.

A client that is registered in ``clients.CLIENTS`` and has no server here fails every law.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

from tests.servers import Bucket
from tests.stores import asking
from transforms.lib.errors import InputError, MissingError, NoBucketError, StoreError
from transforms.storage import filesystem, patterns, versions
from transforms.storage.client import StoreClient
from transforms.storage.clients import CLIENTS, client_of

SERVERS = {"gs": "gcs", "s3": "s3", "az": "azure", "hf": "hub", "http": "web"}  # scheme -> fixture
SCHEMES = list({id(client): scheme for scheme, client in CLIENTS.items()}.values())  # one for each client
NAMES = [
    "plain",
    "two words",
    "Käse 北京 🙂",
    "a+b&c=d",
    "100%25",
    "semi;colon",
    "it's",
    "hash#mark",
    "x.gz",
    ".hidden",
    "laion[0]",
    "a*b",
    "what?",
    "[!x]",
    "-dash",
]


class Place(NamedTuple):
    """A client, and an empty folder of its store."""

    client: StoreClient
    folder: str
    bucket: Bucket | None = None
    inside: str = ""

    def uri(self, name):
        return self.bucket.uri(f"{self.inside}/{name}") if self.bucket else f"{self.folder}/{name}"

    def write(self, name, data):
        if self.client.writes:
            with self.client.create(self.uri(name)) as file:
                file.write(data)
        else:
            self.bucket.upload(f"{self.inside}/{name}", data)
        return self.uri(name)

    def names(self, pattern):
        return sorted(info.uri.removeprefix(self.folder + "/") for info in self.client.match(self.uri(pattern)))


@pytest.fixture(params=SCHEMES, ids=lambda scheme: scheme or "local")
def place(request, tmp_path, monkeypatch):
    scheme = request.param
    if scheme is None:
        yield Place(CLIENTS[None], str(tmp_path / "folder"))
        return
    bucket = request.getfixturevalue(SERVERS[scheme])
    with asking(bucket, monkeypatch):
        inside = f"laws/{tmp_path.name}"
        yield Place(CLIENTS[scheme], bucket.uri(inside), bucket, inside)


@pytest.fixture
def writable(place):
    if not place.client.writes:
        pytest.skip("it is read only")
    return place


@pytest.fixture
def listable(place):
    if not place.client.lists:
        pytest.skip("it cannot be listed")
    return place


@pytest.mark.parametrize("size", [0, 1, 9 << 20])
def test_what_is_written_is_read_back(place, size):
    data = os.urandom(size)
    uri = place.write("deep/er/file", data)
    assert place.client.read_bytes(uri) == data
    for reader in (place.client.open_read, place.client.open_ranges):
        with reader(uri) as file:
            assert file.read(size) == data
            assert file.read(1) == b""
            assert file.seekable()


def test_ranges_are_read_in_any_order(place):
    data = os.urandom(3 << 20)
    uri = place.write("file", data)
    draw = np.random.default_rng(0)
    starts, lengths = draw.integers(0, len(data), 12), draw.integers(1, 1 << 18, 12)
    for reader in (place.client.open_read, place.client.open_ranges):
        with reader(uri) as file:
            for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
                file.seek(start)
                assert file.read(length) == data[start : start + length]
            assert file.seek(-7, os.SEEK_END) == len(data) - 7
            assert file.read(7) == data[-7:]


def test_a_listing_is_complete_and_a_star_stays_in_its_folder(listable):
    sizes = {"a.tar": 3, "b.tar": 0, "b.txt": 1, "c/a.tar": 2, "c/d/a.tar": 4, "cc/a.tar": 5}
    for name, size in sizes.items():
        listable.write(name, bytes(size))
    assert listable.names("**") == sorted(sizes)
    assert listable.names("*.tar") == ["a.tar", "b.tar"]
    assert listable.names("?.tar") == ["a.tar", "b.tar"]
    assert listable.names("[ab].t*") == ["a.tar", "b.tar", "b.txt"]
    assert listable.names("c/**") == ["c/a.tar", "c/d/a.tar"]
    assert listable.names("*/a.tar") == ["c/a.tar", "cc/a.tar"]
    assert listable.names("a.tar") == ["a.tar"]
    assert listable.names("none*") == []
    listed = {info.uri: info for info in listable.client.match(listable.uri("**"))}
    assert {uri.removeprefix(listable.folder + "/"): info.size for uri, info in listed.items()} == sizes
    assert len({type(info) for info in listed.values()}) == 1
    assert all(info.updated > 1e9 or info.version for info in listed.values()), (
        "a file that is replaced is seen to have changed"
    )


def test_a_listing_of_more_than_a_page_is_complete_and_sorted(listable):
    if listable.folder.startswith("gs://"):
        pytest.skip("the server of gs:// has no pages")
    names = [f"{number:05d}" for number in range(1005)]  # stores list 1,000 names in an answer
    with ThreadPoolExecutor(8) as threads:
        uris = list(threads.map(lambda name: listable.write(f"many/{name}/x", b""), reversed(names)))
    assert [info.uri for info in filesystem.match([listable.uri("many/**")])[0]] == sorted(uris)
    assert filesystem.folders(listable.uri("many")) == names
    if listable.client.writes:
        listable.client.delete(uris)
        assert listable.names("**") == []


def test_folders_are_those_directly_below(listable):
    for name in ("file", "one/x", "two/deep/x", "two/x"):
        listable.write(name, b"")
    assert sorted(listable.client.folders(listable.folder)) == ["one", "two"]
    assert sorted(listable.client.folders(listable.folder + "/")) == ["one", "two"]
    assert list(listable.client.folders(listable.uri("none"))) == []


def test_a_file_exists_from_its_writing_to_its_deletion(writable):
    assert not writable.client.exists(writable.uri("x"))
    uri = writable.write("x", b"1")
    assert writable.client.exists(uri)
    writable.client.delete([uri])
    assert not writable.client.exists(uri)
    assert writable.names("**") == []


def test_deleting_what_is_not_there_is_no_error(writable):
    kept, gone = writable.write("kept", b"1"), writable.write("gone", b"2")
    writable.client.delete([writable.uri("none"), gone, gone])
    writable.client.delete([writable.uri("none")])
    assert writable.names("**") == ["kept"]
    assert writable.client.read_bytes(kept) == b"1"


def test_what_is_missing_is_an_error_of_its_own_that_names_the_address(place):
    uri = place.uri("none")

    def through(reader):
        with reader(uri) as file:
            file.read()

    for read in (
        lambda: filesystem.read_bytes(uri),
        lambda: through(filesystem.open_read),
        lambda: through(filesystem.open_ranges),
        lambda: filesystem.digest(uri),
    ):
        with pytest.raises((MissingError, FileNotFoundError)) as caught:
            read()
        assert not isinstance(caught.value, NoBucketError)
        assert uri in str(caught.value)
    assert filesystem.read_if_exists(uri) is None
    if place.client.lists:
        assert list(filesystem.children(uri)) == []


def break_off(place, name):
    with place.client.create(place.uri(name)) as file:
        file.write(b"half")
        file.flush()
        raise ZeroDivisionError


def test_a_file_is_whole_or_absent(writable):
    with pytest.raises(ZeroDivisionError):
        break_off(writable, "new")
    assert writable.names("**") == []
    writable.write("old", b"first")
    with pytest.raises(ZeroDivisionError):
        break_off(writable, "old")
    assert writable.names("**") == ["old"]
    assert writable.client.read_bytes(writable.uri("old")) == b"first"
    writable.write("old", b"second, and longer")
    assert writable.client.read_bytes(writable.uri("old")) == b"second, and longer"
    writable.write("old", b"")
    assert writable.client.read_bytes(writable.uri("old")) == b""


def test_a_file_being_written_is_seen_by_nobody(writable):
    with writable.client.create(writable.uri("x")) as file:
        file.write(b"half")
        file.flush()
        assert writable.names("*") == []
        assert not writable.client.exists(writable.uri("x"))
    assert writable.names("*") == ["x"]


def test_a_file_that_is_replaced_while_it_is_read_never_mixes_two_versions(place):
    old, new = bytes(6 << 20), b"\1" * (6 << 20)
    uri = place.write("x", old)
    if place.folder.startswith("gs://"):
        pytest.skip("the server of gs:// does not look at ifGenerationMatch; Google does")
    refusal = ""
    try:
        with filesystem.open_ranges(uri) as file:
            assert file.read(10) == old[:10]
            place.write("x", new)
            file.seek(5 << 20)
            assert file.read(10) == old[:10]
    except StoreError as error:
        refusal = str(error)
    assert refusal in ("", f"{uri} was replaced while it was read; run the same command again")
    assert place.client.read_bytes(uri) == new


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(place, name):
    uri = place.write(f"{name}/{name}", name.encode())
    assert place.client.exists(uri)
    assert place.client.read_bytes(uri) == name.encode()
    with place.client.open_ranges(uri) as file:
        assert file.read(100) == name.encode()
    assert place.client.stat(uri).size == len(name.encode())
    if not place.client.lists:
        assert [info.uri for info in filesystem.match([uri])[0]] == [uri]
        return
    assert [info.uri for info in place.client.match(place.uri("**"))] == [uri]
    assert list(place.client.folders(place.folder)) == [name]
    assert place.client.stat(uri) == next(iter(place.client.match(place.uri("**"))))
    assert [info.uri for info in place.client.children(place.uri(name))] == [uri]
    near = [place.write(f"{other}/{other}", b"") for other in ("laion0", "axb", "whatx", "y")]
    if not place.client.writes:
        return
    place.client.delete([uri])
    assert not place.client.exists(uri)
    assert place.client.stat(uri) is None
    assert list(place.client.children(place.uri(name))) == []
    assert sorted(info.uri for info in place.client.children(place.folder)) == sorted(near)


def test_what_is_there_literally_wins_over_what_it_matches(listable):
    for name in ("run[1]/[2].tar", "run1/2.tar", "x?.tar", "xy.tar"):
        listable.write(name, b"")
    for pattern, meant in (
        ("run[1]/*.tar", "run[1]/[2].tar"),
        ("run[1]/[2].tar", "run[1]/[2].tar"),
        ("x?.tar", "x?.tar"),
        ("run[2-0]/*", None),
        ("run[0-2]/*", "run1/2.tar"),
    ):
        found = [info.uri for info in patterns.match([listable.uri(pattern)])[0]]
        assert found == ([] if meant is None else [listable.uri(meant)]), pattern


def test_two_stars_and_a_slash_stand_for_no_folder_too(listable):
    for name in ("0.tar", "a/1.tar", "a/b/2.tar", "c.txt"):
        listable.write(name, b"")
    assert listable.names("**/*.tar") == ["0.tar", "a/1.tar", "a/b/2.tar"]
    assert listable.names("a/**/*.tar") == ["a/1.tar", "a/b/2.tar"]
    assert listable.names("a/") == ["a/1.tar"]


def test_threads_share_a_client(place):
    def work(number):
        data = f"{number}".encode() * 1000
        uri = place.write(f"{number % 4}/{number}", data)
        return place.client.exists(uri) and place.client.read_bytes(uri) == data

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(40)))
    assert not place.client.lists or len(place.names("**")) == 40


def test_a_bucket_that_is_not_there_is_one_line_that_names_the_address(writable):
    scheme = writable.folder.partition("://")[0]
    if scheme not in SERVERS:
        pytest.skip("a local disk has no buckets")
    uri = f"{scheme}://nowhere/x"
    for call in (
        lambda: filesystem.match([uri]),
        lambda: filesystem.folders(uri),
        lambda: filesystem.write_atomic(uri, b"1"),
        lambda: list(filesystem.children(uri)),
    ):
        with pytest.raises(NoBucketError) as caught:
            call()
        (line,) = caught.value.problems
        assert line.startswith(uri)
        assert line.endswith(": there is no bucket nowhere; create it, or check the address")
    with pytest.raises(MissingError, match=f"^{uri}"):
        filesystem.read_bytes(uri)


def test_an_address_leads_to_its_client(place):
    assert client_of(place.folder) is place.client


def test_a_store_that_is_only_read_refuses_to_be_written_in_one_line(place):
    if place.client.writes:
        pytest.skip("it is written, too")
    kept = place.write("kept", b"1")
    for call in (
        lambda: filesystem.write_atomic(place.uri("x"), b"1"),
        lambda: filesystem.delete([kept]),
        lambda: filesystem.check_writable(place.uri("out")),
    ):
        with pytest.raises(InputError, match=r"is read, never written; name a local folder, gs://, s3:// or az://$"):
            call()
    assert place.client.read_bytes(kept) == b"1"
    assert not place.client.exists(place.uri("x"))


def only_where_it_is_written(place):
    if not place.client.writes:
        pytest.skip("it is only read")


def test_of_writers_that_saw_one_version_one_replaces_it(place):
    only_where_it_is_written(place)
    client, uri = place.client, place.uri("deep/pointer")
    if not place.folder.startswith("gs://"):  # the server of gs:// does not look at ifGenerationMatch; Google does
        assert not client.replace(uri, b"no", "a version that never was")
    assert client.replace(uri, b"first", "")
    data, version = client.read_version(uri)
    assert data == b"first"
    assert client.replace(uri, b"second", version)
    assert client.read_version(uri)[0] == b"second"
    assert client.read_version(uri)[1] != version
    if place.folder.startswith("gs://"):
        return
    assert not client.replace(uri, b"late", version)
    assert not client.replace(uri, b"late", "")
    assert client.read_bytes(uri) == b"second"
    client.delete([uri])
    assert not client.replace(uri, b"late", version), "what is gone is no version"


def test_what_threads_add_to_one_file_is_all_there(place):
    only_where_it_is_written(place)
    if place.folder.startswith("gs://"):
        pytest.skip("the server of gs:// does not look at ifGenerationMatch; Google does")

    def add(number):
        versions.update(place.uri("list"), lambda data: (data or b"") + f"{number} ".encode())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert sorted(map(int, place.client.read_bytes(place.uri("list")).split())) == list(range(24))
    assert place.names("**") == ["list"]


def test_a_copy_is_another_file(place):
    only_where_it_is_written(place)
    source = place.write("source", b"1" * 1000)
    place.write("target", b"older")
    place.client.copy(source, place.uri("target"))
    place.client.delete([source])
    assert place.client.read_bytes(place.uri("target")) == b"1" * 1000
    with pytest.raises((MissingError, FileNotFoundError)):
        filesystem.copy(source, place.uri("other"))


def test_many_patterns_are_answered_in_their_order(place):
    uris = [place.write(f"{number}.tar", b"1") for number in range(40)]
    asked = [*reversed(uris), place.uri("none.tar")]
    assert [[info.uri for info in found] for found in filesystem.match(asked)] == [[uri] for uri in asked[:-1]] + [[]]
