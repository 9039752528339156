"""Pool, model and output on object stores: real servers that speak Google Cloud Storage and S3, on loopback."""

import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from beam_pipelines import cli
from tests import servers
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.lib import stamps, uids
from transforms.lib.tarshard import END_OF_ARCHIVE, read_samples, write_member

ROOT = Path(__file__).parents[1]
FLAGS = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7"]


@pytest.fixture(scope="module")
def gcs(tmp_path_factory):
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def s3():
    with servers.s3() as bucket:
        yield bucket


@pytest.fixture(params=["gcs", "s3"])
def bucket(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def local(pool, tiny_network, tmp_path_factory):
    """Returns path -> sha256 of what curating the pool writes to a local folder."""
    output = tmp_path_factory.mktemp("local") / "out"
    done = run_with(
        os.environ, "curate", "--input", f"{pool}/*.tar", "--output", output, *FLAGS, "--model", f"net={tiny_network}"
    )
    assert done.returncode == 0, done.stderr
    return digests(output)


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


def run_with(environment, *args):
    command = [sys.executable, "-m", "beam_pipelines.cli", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def run(bucket, *args):
    """Runs a job: in a process of its own where the environment says where the store is, else in this one."""
    if bucket.scheme == "gs":
        return run_with(bucket.environment, *args)
    out, err = io.StringIO(), io.StringIO()
    command = [*map(str, args), *bucket.flags]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(command)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def one_line(done, *parts):
    """Asserts that a run was refused in one line that has these parts."""
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[0]


def fill(bucket, pool, network, prefix=""):
    for path in pool.glob("*.tar"):
        bucket.upload(f"{prefix}pool/{path.name}", path.read_bytes())
    for path in network.iterdir():
        bucket.upload(f"{prefix}models/net/{path.name}", path.read_bytes())


def curate(bucket, output, prefix=""):
    return (
        "curate", "--input", bucket.uri(f"{prefix}pool/*.tar"), "--output", bucket.uri(output), *FLAGS,
        "--model", "net=" + bucket.uri(f"{prefix}models/net"),
    )  # fmt: skip


def hashed(contents):
    return {name: stamps.sha256(data) for name, data in contents.items()}


def test_a_pool_in_a_bucket_is_curated_by_a_model_in_a_bucket(bucket, pool, local, tiny_network):
    fill(bucket, pool, tiny_network)
    done = run(bucket, *curate(bucket, "out"))
    assert done.returncode == 0, done.stderr
    written = hashed(bucket.download("out"))
    assert written.keys() == local.keys()
    tars = [name for name in local if name.endswith(".tar") or name == "subset.npy"]
    assert {name: written[name] for name in tars} == {name: local[name] for name in tars}
    again = run(bucket, *curate(bucket, "out"))
    assert json.loads(again.stdout)["counters"]["score.shards_skipped"] == 3
    assert hashed(bucket.download("out")) == written
    assert run(bucket, "verify", "--output", bucket.uri("out")).returncode == 0


def test_what_is_not_in_the_bucket_is_one_line(bucket):
    done = run(bucket, "curate", "--input", bucket.uri("none/*.tar"), "--output", bucket.uri("o2"),
               "--model", "net=" + bucket.uri("models/none"))  # fmt: skip
    assert done.returncode == 2
    assert f"--input '{bucket.uri('none/*.tar')}' matches no file" in done.stderr
    assert f"{bucket.uri('models/none')} does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bucket_that_is_not_there_is_one_line(bucket, pool):
    shards = ["--input", f"{pool}/*.tar", "--subset", pool / "s.npy"]
    with (pool / "s.npy").open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs([f"{1:032x}"])))
    missing = f"{bucket.scheme}://nowhere"
    done = run(bucket, "reshard", *shards, "--output", f"{missing}/out")
    one_line(done, f"{missing}/out/run.json: there is no bucket nowhere")
    done = run(bucket, "reshard", "--input", f"{missing}/*.tar", *shards[2:], "--output", bucket.uri("o3"))
    one_line(done, f"{missing}/*.tar: there is no bucket nowhere")


def test_resharding_asks_for_the_byte_ranges_it_wants_and_little_more(bucket, tmp_path):
    tar, listed = b"", [f"{number:032x}" for number in range(1, 601)]
    for uid in listed:
        tar += write_member(f"{uid}.json", json.dumps({"uid": uid}).encode()) + write_member(
            f"{uid}.jpg", bytes(40_000)
        )
    bucket.upload("ranges/0.tar", tar + END_OF_ARCHIVE)
    wanted = [listed[3], listed[300], listed[598]]
    for name, kept in (("all", listed[:5]), ("few", wanted)):
        with (tmp_path / f"{name}.npy").open("wb") as file:
            uids.write_subset(file, uids.subset(uids.pairs(kept)))
    output = ["--output", bucket.uri("out-ranges")]
    first = ["--input", bucket.uri("ranges/*.tar"), "--subset", tmp_path / "all.npy"]
    assert run(bucket, "reshard", *first, *output).returncode == 0
    counter = Counter(urllib.parse.urlparse(bucket.address).port)
    done = run(bucket.through(counter.port), "reshard", "--subset", tmp_path / "few.npy", *output)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counters"]["reshard.requests"] == 3
    assert counter.answered < 1_500_000 < len(tar) / 10
    shard = bucket.download("out-ranges/shards")["00000000.tar"]
    assert sorted(sample.key for sample in read_samples(io.BytesIO(shard))) == [f"{uid}-0" for uid in wanted]


def user(bucket, *actions):
    """Returns the bucket as a user sees it who may do these actions and no others."""
    iam = bucket.service("iam")
    name = f"may{len(iam.list_users()['Users'])}"
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    flags = (*bucket.flags[:4], "--s3_access_key_id", key["AccessKeyId"],
             "--s3_secret_access_key", key["SecretAccessKey"])  # fmt: skip
    return dataclasses.replace(bucket, flags=flags)


@contextlib.contextmanager
def rights_enforced(bucket):
    """The server looks at who asks only when told to."""

    def unchecked(requests):
        data = str(requests).encode()
        urllib.request.urlopen(urllib.request.Request(f"{bucket.address}/moto-api/reset-auth", data)).close()

    unchecked(0)
    try:
        yield
    finally:
        unchecked("inf")


def test_rights_that_are_lacking_on_s3_are_one_line(s3, pool, tmp_path):
    for path in pool.glob("*.tar"):
        s3.upload(f"rights/{path.name}", path.read_bytes())
    with (tmp_path / "s.npy").open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs([f"{1:032x}"])))
    reader, stranger = user(s3, "s3:GetObject", "s3:ListBucket"), user(s3, "s3:PutObject")
    job = ["reshard", "--input", s3.uri("rights/*.tar"), "--subset", tmp_path / "s.npy", "--output"]
    with rights_enforced(s3):
        one_line(run(reader, *job, s3.uri("forbidden")), s3.uri("forbidden/run.json"), "access denied", "AccessDenied")
        one_line(run(stranger, *job, tmp_path / "o"), s3.uri("rights/*.tar"), "access denied")
    assert s3.sizes("forbidden") == {}


def test_no_credentials_for_s3_is_one_line_and_no_wait(s3):
    done = run_with(s3.environment, "verify", "--output", s3.uri("out"), *s3.flags[:4])
    one_line(done, "there are no credentials for s3://", "set AWS_ACCESS_KEY_ID", "--s3_access_key_id")


def test_a_missing_boto3_is_one_line(tmp_path, s3):
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError(\"No module named 'boto3'\", name='boto3')\n")
    environment = {**s3.environment, "PYTHONPATH": str(tmp_path)}
    done = run_with(environment, "verify", "--output", s3.uri("out"), *s3.flags)
    one_line(done, "s3:// needs boto3", "pip install 'winnow-beam[aws]'")
