import os

import pytest

from transforms.lib.errors import StoreError
from transforms.outputs.store import Store
from transforms.storage import filesystem


def test_a_file_is_whole_or_absent(tmp_path, monkeypatch):
    target = tmp_path / "deep/er/file"
    filesystem.write_atomic(str(target), b"one")
    filesystem.write_atomic(str(target), memoryview(b"two"))
    assert target.read_bytes() == b"two"

    def broken(handle):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        filesystem.write_atomic(str(target), b"three")
    assert target.read_bytes() == b"two"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_partial_file_of_a_killed_run_is_never_listed(tmp_path):
    (tmp_path / ".0.tar.x.partial").write_bytes(b"half")
    filesystem.write_atomic(str(tmp_path / "0.tar"), b"whole")
    for pattern in ("*.tar", "*", "**"):
        assert [info.uri for info in filesystem.match([f"{tmp_path}/{pattern}"])[0]] == [str(tmp_path / "0.tar")]
    filesystem.remove_partial(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["0.tar"]


def test_files_have_the_rights_that_the_user_wants(tmp_path):
    old = os.umask(0o027)
    try:
        filesystem.write_atomic(str(tmp_path / "x"), b"")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_the_umask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)  # to set it, be it for a moment, gives other threads' files other rights
    filesystem.write_atomic(str(tmp_path / "x"), b"")
    assert (tmp_path / "x").read_bytes() == b""


def test_children_are_found_however_deep(tmp_path):
    for name in ("a", "b/c", "b/d/e"):
        filesystem.write_atomic(str(tmp_path / name), b"x")
    assert sorted(info.uri for info in filesystem.children(str(tmp_path))) == [
        str(tmp_path / name) for name in ("a", "b/c", "b/d/e")
    ]
    assert list(filesystem.children(str(tmp_path / "none"))) == []


def test_a_local_file_is_fetched_where_it_lies(tmp_path):
    assert filesystem.fetch(str(tmp_path / "w.pt")) == str(tmp_path / "w.pt")


def test_a_column_file_cut_short_counts_as_absent(tmp_path):
    import pyarrow as pa

    store = Store(str(tmp_path))
    store.write("net", "a", pa.table({"x": [1]}), "s")
    assert store.facts("net", "a")["stamp"] == "s"
    path = tmp_path / "columns/net/a.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    assert store.facts("net", "a") == {}
    assert store.facts("net", "b") == {}


@pytest.mark.parametrize(
    ("uri", "said"),
    [("S3://b/x", "S3:// is no store that is known here"), ("hdfs://c/x", "name a local path, or one of gs://, s3://, az://"),
     ("http:///x", "names no server"), ("hdfs://h/x", "is no store"), ("gs:///x", "names no bucket; write gs://BUCKET/PATH"),
     ("gs://-/x", "names no bucket"), ("s3:///x", "names no bucket; write s3://BUCKET/PATH")],
)  # fmt: skip
def test_an_address_of_no_store_is_one_line_whatever_is_asked_of_it(uri, said):
    uses = (
        filesystem.read_if_exists,
        filesystem.exists,
        filesystem.fetch,
        lambda uri: filesystem.match([f"{uri}/*.tar"]),
    )
    uses += (lambda uri: filesystem.write_atomic(uri, b""), lambda uri: filesystem.delete([uri]), filesystem.digest)
    for use in (*uses, lambda uri: list(filesystem.children(uri))):
        with pytest.raises(StoreError) as caught:
            use(uri)
        (line,) = caught.value.problems
        assert line.startswith(uri)
        assert said in line
