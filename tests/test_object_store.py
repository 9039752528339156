"""Pool, model and output on an object store: a real server that speaks Google Cloud Storage, on loopback."""

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.lib import uids
from transforms.lib.tarshard import END_OF_ARCHIVE, read_samples, write_member

ROOT = Path(__file__).parents[1]
CREDENTIALS = {  # never refreshed, never sent anywhere but to loopback
    "type": "authorized_user", "client_id": "x", "client_secret": "x", "refresh_token": "x",
    "token": "emulator", "expiry": "2099-01-01T00:00:00Z",
}  # fmt: skip


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Yields (environment of a client, function that uploads, function that downloads)."""
    folder = tmp_path_factory.mktemp("gcs")
    (folder / "adc.json").write_text(json.dumps(CREDENTIALS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory",
         "--default-bucket=demo"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    environment = {
        **os.environ, "STORAGE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": "demo",
        "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"),
    }  # fmt: skip

    def call(path, data=None):
        request = urllib.request.Request(f"{address}{path}", data)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    for _ in range(100):
        try:
            call("/storage/v1/b/demo")
            break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)

    def upload(name, data):
        call(f"/upload/storage/v1/b/demo/o?uploadType=media&name={urllib.parse.quote(name, safe='')}", data)

    def download(prefix):
        listed = json.loads(call(f"/storage/v1/b/demo/o?prefix={prefix}/"))["items"]
        quoted = [(item["name"], urllib.parse.quote(item["name"], safe="")) for item in listed]
        return {name[len(prefix) + 1 :]: call(f"/download/storage/v1/b/demo/o/{q}?alt=media") for name, q in quoted}

    yield environment, upload, download
    server.terminate()
    server.wait()


class Counter:
    """Passes connections on to a server and counts the bytes that it answers."""

    def __init__(self, port):
        self.answered = 0
        self._target = port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._socket.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, target, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, target, counts), daemon=True).start()

    def _pass_on(self, source, target, counts):
        with contextlib.suppress(OSError):  # either side may hang up
            while data := source.recv(1 << 16):
                self.answered += len(data) if counts else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def winnow(environment, *args):
    command = [sys.executable, "-m", "beam_pipelines.cli", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_a_pool_in_a_bucket_is_curated_by_a_model_in_a_bucket(bucket, tiny_network, tmp_path):
    import hashlib

    environment, upload, download = bucket
    pool = make_pool(tmp_path / "pool")
    for path in pool.glob("*.tar"):
        upload(f"pool/{path.name}", path.read_bytes())
    for path in tiny_network.iterdir():
        upload(f"models/net/{path.name}", path.read_bytes())
    flags = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7"]
    local = winnow(os.environ, "curate", "--input", f"{pool}/*.tar", "--output", tmp_path / "out", *flags,
                   "--model", f"net={tiny_network}")  # fmt: skip
    assert local.returncode == 0, local.stderr
    remote = ["curate", "--input", "gs://demo/pool/*.tar", "--output", "gs://demo/out", *flags]
    done = winnow(environment, *remote, "--model", "net=gs://demo/models/net")
    assert done.returncode == 0, done.stderr
    written = {name: hashlib.sha256(data).hexdigest() for name, data in download("out").items()}
    expected = digests(tmp_path / "out")
    assert written.keys() == expected.keys()
    tars = [name for name in expected if name.endswith(".tar") or name == "subset.npy"]
    assert {name: written[name] for name in tars} == {name: expected[name] for name in tars}
    again = winnow(environment, *remote, "--model", "net=gs://demo/models/net")
    assert json.loads(again.stdout)["counters"]["score.shards_skipped"] == 3
    assert winnow(environment, "verify", "--output", "gs://demo/out").returncode == 0


def test_what_is_not_in_the_bucket_is_one_line(bucket, tmp_path):
    environment, _, _ = bucket
    done = winnow(environment, "curate", "--input", "gs://demo/none/*.tar", "--output", "gs://demo/o2",
                  "--model", "net=gs://demo/models/none")  # fmt: skip
    assert done.returncode == 2
    assert "--input 'gs://demo/none/*.tar' matches no file" in done.stderr
    assert "gs://demo/models/none does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_resharding_asks_for_the_byte_ranges_it_wants_and_little_more(bucket, tmp_path):
    environment, upload, download = bucket
    tar, listed = b"", [f"{number:032x}" for number in range(1, 601)]
    for uid in listed:
        tar += write_member(f"{uid}.json", json.dumps({"uid": uid}).encode()) + write_member(
            f"{uid}.jpg", bytes(40_000)
        )
    upload("ranges/0.tar", tar + END_OF_ARCHIVE)
    wanted = [listed[3], listed[300], listed[598]]
    for name, kept in (("all", listed[:5]), ("few", wanted)):
        with (tmp_path / f"{name}.npy").open("wb") as file:
            uids.write_subset(file, uids.subset(uids.pairs(kept)))
    first = ["--input", "gs://demo/ranges/*.tar", "--subset", tmp_path / "all.npy"]
    assert winnow(environment, "reshard", *first, "--output", "gs://demo/out-ranges").returncode == 0
    counter = Counter(urllib.parse.urlparse(environment["STORAGE_EMULATOR_HOST"]).port)
    counted = {**environment, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{counter.port}"}
    done = winnow(counted, "reshard", "--subset", tmp_path / "few.npy", "--output", "gs://demo/out-ranges")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counters"]["reshard.requests"] == 3
    assert counter.answered < 1_500_000 < len(tar) / 10
    shard = download("out-ranges/shards")["00000000.tar"]
    assert sorted(sample.key for sample in read_samples(io.BytesIO(shard))) == [f"{uid}-0" for uid in wanted]
