"""Stores that answer 429 and 503, hang up, and break off: jobs go on, and write the same bytes."""

import functools
import io
import os

import pyarrow as pa
import pytest

from tests import proxy
from tests.stores import asking, curate, fill, hashed, run
from transforms.lib.errors import StoreError
from transforms.outputs.store import Store
from transforms.storage import filesystem
from transforms.storage import s3 as s3_store
from transforms.storage.clients import CLIENTS

SCHEMA = pa.schema([("uid", pa.string()), ("status", pa.string())])
KINDS = (429, 503, "reset", "lost", "truncate", "cut")


class Storm:
    """Fails every ninth request, in every way in turn, and never one request twice running."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.seen = set()  # (name, bytes) of every object visible after a fault
        self._count = 0
        self._ways = list(KINDS)
        self._last = None

    def plan(self, request):
        self._count += 1
        what = (request.method, request.path)
        way = next((way for way in self._ways if suits(way, request)), None)
        if self._count % 9 or what == self._last or way is None:
            return None
        self._last = what
        self._ways.remove(way)
        self._ways.append(way)
        return way

    def after(self, request):
        if request.body:
            visible = self.bucket.sizes("stormy/").items()
            self.seen |= {(name, size) for name, size in visible if ".runs/" not in name}  # gone at the end


def suits(way, request):
    return {"truncate": request.method == "GET", "cut": request.body > 1}.get(way, True)


def test_a_job_in_a_storm_writes_the_same_bytes(bucket, faulty_pool, tiny_network):
    fill(bucket, faulty_pool, tiny_network, "storm/")
    calm = run(bucket, *curate(bucket, "calm", "storm/"))
    assert calm.returncode == 0, calm.stderr
    storm = Storm(bucket)
    with proxy.Proxy(bucket, storm.plan, storm.after) as between:
        done = run(bucket.through(between.port), *curate(bucket, "stormy", "storm/"))
    assert done.returncode == 0, done.stderr
    assert set(between.faults()) == set(KINDS)
    assert len(between.faults()) > 8
    assert hashed(bucket.download("stormy")) == hashed(bucket.download("calm"))
    whole = {seen for seen in storm.seen if "/.leases/" not in seen[0]}  # a lease goes when its job ends
    assert whole <= set(bucket.sizes("stormy/").items())
    assert len(storm.seen) > 3


@pytest.fixture
def here(bucket, monkeypatch):
    """Lets this process speak to a bucket behind a proxy; returns the function that starts one."""

    return functools.partial(asking, bucket, monkeypatch)


@pytest.mark.parametrize("way", ["lost", "cut", 503])
@pytest.mark.parametrize("size", [0, 5, 9 << 20])
def test_an_upload_that_breaks_is_done_again(bucket, here, way, size):
    name, data, left = f"broken/{way}-{size}", os.urandom(size), [1]

    def plan(request):
        return left.pop() if left and request.method in ("PUT", "POST") and suits(way, request) and left else None

    with here(lambda request: plan(request) and way) as between:
        filesystem.write_atomic(bucket.uri(name), data)
        assert filesystem.read_bytes(bucket.uri(name)) == data
    assert between.faults() == [way] or size == 0


def half_written(uri):
    with filesystem.create_atomic(uri) as file:
        file.write(b"half")
        raise ZeroDivisionError


def test_an_upload_whose_source_breaks_leaves_nothing(bucket, here, monkeypatch):
    class Breaking(io.BytesIO):
        def read(self, size=-1):
            if size < 0 or self.tell() + size > 20 << 20:
                raise OSError("the disk is gone")
            return super().read(size)

    monkeypatch.setattr(s3_store, "_ONE_PUT_BYTES", 8 << 20)
    monkeypatch.setattr(s3_store, "_PART_BYTES", 8 << 20)
    with here(lambda request: None):
        with pytest.raises(OSError, match="the disk is gone"):
            CLIENTS[bucket.scheme].put(bucket.uri("gone"), Breaking(bytes(30 << 20)))
        with pytest.raises(ZeroDivisionError):
            half_written(bucket.uri("gone"))
    assert bucket.sizes("gone") == {}
    if bucket.scheme == "s3":
        assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket="demo")


def test_a_store_that_refuses_for_good_is_one_line(bucket, faulty_pool, tiny_network):
    fill(bucket, faulty_pool, tiny_network, "refused/")

    def plan(request):
        named = "decisions" in request.path or b"decisions" in request.head
        return 403 if request.body and named else None

    with proxy.Proxy(bucket, plan) as between:
        done = run(bucket.through(between.port), *curate(bucket, "refusing", "refused/"))
    assert done.returncode == 1
    said, line = done.stderr.splitlines()
    assert said.startswith("--device auto: ")
    assert f"{bucket.uri('refusing/selections/')}" in line
    assert "/decisions/0000" in line
    assert "access denied" in line
    assert not [name for name in bucket.sizes("refusing/") if "decisions" in name or "shards" in name]


def test_a_store_that_never_answers_is_one_line(bucket, here, monkeypatch):
    monkeypatch.setattr(s3_store, "_ATTEMPTS", 2)
    s3_store._client_of.cache_clear()
    plan = (lambda request: 503) if bucket.scheme == "s3" else lambda request: 400
    with here(plan), pytest.raises(StoreError) as caught:
        filesystem.read_bytes(bucket.uri("x"))
    s3_store._client_of.cache_clear()
    said = {"s3": "does not answer, even after retries", "gs": "refuses the request"}[bucket.scheme]
    assert said in str(caught.value)


def test_a_held_store_asks_for_a_shards_file_once(bucket, here):
    def table(status):
        return pa.table({"uid": ["0" * 32] * 3, "status": status}, schema=SCHEMA)

    def asked(between):
        return [request for request in between.requests if "00.parquet" in request.path]

    store = Store(bucket.uri("held"))
    with here(lambda request: None) as between, store.held() as held:
        assert held.facts("index", "00") == {}
        held.write("index", "00", table(["ok"] * 3), "first", uri="x.tar")
        before = len(asked(between))
        named = {"set": "index", "shard": "00"}
        assert held.facts("index", "00") == {"stamp": "first", "uri": "x.tar", **named}
        assert held.valid("00").all()
        assert len(held.arrays("00", {"uid": ("index", "uid")})["uid"]) == 3
        assert len(asked(between)) - before == 2, "its size and version, and its bytes"
        held.write("index", "00", table(["ok", "bad", "ok"]), "second")
        assert held.valid("00").tolist() == [True, False, True], "what it writes itself it reads anew"
    with here(lambda request: None):
        assert store.facts("index", "00") == {"stamp": "second", **named}
