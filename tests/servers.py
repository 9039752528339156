"""Real storage servers on loopback, and what a client needs to reach them."""

import contextlib
import dataclasses
import functools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

CREDENTIALS = {  # never refreshed, never sent anywhere but to loopback
    "type": "authorized_user", "client_id": "x", "client_secret": "x", "refresh_token": "x",
    "token": "loopback", "expiry": "2099-01-01T00:00:00Z",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Bucket:
    """The bucket ``demo`` of a server: how a job reaches it, and how a test does, without Winnow."""

    scheme: str
    address: str
    environment: dict
    flags: tuple = ()

    def uri(self, path):
        return f"{self.scheme}://demo/{path}"

    def through(self, port):
        """Returns the same bucket as a job sees it behind another port."""
        old, new = self.address, f"http://127.0.0.1:{port}"
        environment = {name: new if value == old else value for name, value in self.environment.items()}
        return dataclasses.replace(
            self, environment=environment, flags=tuple(new if flag == old else flag for flag in self.flags)
        )

    def upload(self, name, data):
        if self.scheme == "s3":
            self.client.put_object(Bucket="demo", Key=name, Body=data)
            return
        quoted = urllib.parse.quote(name, safe="")
        self._call(f"/upload/storage/v1/b/demo/o?uploadType=media&name={quoted}", data)

    def sizes(self, prefix=""):
        """Returns name -> bytes of the objects whose names begin so."""
        if self.scheme == "s3":
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="demo", Prefix=prefix)
            return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}
        listed = json.loads(self._call(f"/storage/v1/b/demo/o?prefix={urllib.parse.quote(prefix, safe='')}")).get(
            "items", ()
        )
        return {item["name"]: int(item["size"]) for item in listed}

    def download(self, prefix):
        """Returns name below the prefix -> content."""
        return {name[len(prefix) + 1 :]: self._content(name) for name in self.sizes(f"{prefix}/")}

    def _content(self, name):
        if self.scheme == "s3":
            return self.client.get_object(Bucket="demo", Key=name)["Body"].read()
        return self._call(f"/download/storage/v1/b/demo/o/{urllib.parse.quote(name, safe='')}?alt=media")

    def _call(self, path, data=None):
        with urllib.request.urlopen(urllib.request.Request(f"{self.address}{path}", data)) as answer:
            return answer.read()

    @functools.cached_property
    def client(self):
        """A plain client of S3."""
        return self.service("s3")

    def service(self, name):
        """A plain client of one of the services of Amazon that the server plays."""
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.session.Session().client(name, endpoint_url=self.address, **keys)


@contextlib.contextmanager
def _running(module, arguments, ready):
    """Starts a server on a free port of loopback, and yields its address once it answers at ``ready``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", module, *(text.format(port=port) for text in arguments)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}{ready}").close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def gcs(folder):
    """Yields the bucket of a server that speaks Google Cloud Storage; writes to ``folder``."""
    (folder / "adc.json").write_text(json.dumps(CREDENTIALS))
    arguments = ["start", "--host=127.0.0.1", "--port={port}", "--in-memory", "--default-bucket=demo"]
    with _running("gcp_storage_emulator", arguments, "/storage/v1/b/demo") as address:
        environment = {
            **os.environ, "STORAGE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": "my-project",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"),
        }  # fmt: skip
        yield Bucket("gs", address, environment)


@contextlib.contextmanager
def s3():
    """Yields the bucket of a server that speaks S3; no credentials are in its environment, all are in its flags."""
    with _running("moto.server", ["-H", "127.0.0.1", "-p", "{port}"], "/moto-api/data.json") as address:
        flags = (
            "--s3_endpoint_url", address, "--s3_region_name", "us-east-1",
            "--s3_access_key_id", "test", "--s3_secret_access_key", "test",
        )  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        nothing = {
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }
        bucket = Bucket("s3", address, {**kept, **nothing}, flags)
        bucket.client.create_bucket(Bucket="demo")
        yield bucket


@contextlib.contextmanager
def storage(folder):
    """Yields the environment of a client of Google Cloud Storage with the bucket ``demo``; writes to ``folder``."""
    with gcs(folder) as bucket:
        yield bucket.environment


def listed(environment, prefix):
    """Returns the names of the objects in ``demo`` below a prefix."""
    return set(Bucket("gs", environment["STORAGE_EMULATOR_HOST"], environment).sizes(prefix))
