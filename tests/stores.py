"""Jobs on a bucket of a storage server, and what tests say of them."""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from beam_pipelines import cli
from beam_pipelines.running import beam_options
from tests import proxy
from transforms.lib import stamps
from transforms.storage import gcs as gcs_store

ROOT = Path(__file__).parents[1]
FLAGS = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7"]


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
def asking(bucket, monkeypatch, plan=lambda request: None):
    """Lets this process speak to a bucket through a proxy, which is yielded and fails what ``plan`` says."""
    with proxy.Proxy(bucket, plan) as between:
        seen = bucket.through(between.port)
        for name, value in seen.environment.items():
            if os.environ.get(name) != value:
                monkeypatch.setenv(name, value)
        gcs_store._io.cache_clear()
        beam_options.tell_stores(seen.flags)
        try:
            yield between
        finally:
            gcs_store._io.cache_clear()
            beam_options.tell_stores([])


@contextlib.contextmanager
def rights_enforced(bucket):
    """The server looks at who asks only when told to."""

    def unchecked(requests):
        data, plain = str(requests).encode(), {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(f"{bucket.address}/moto-api/reset-auth", data, plain)).close()

    unchecked(0)
    try:
        yield
    finally:
        unchecked("inf")
