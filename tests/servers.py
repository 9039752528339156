"""Real storage servers on loopback, and what a client needs to reach them."""

import base64
import contextlib
import dataclasses
import email.utils
import functools
import hmac
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tests.web_server import Web

AZURITE = "3.37.0"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # everybody's

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
        flags = tuple(flag.replace(old, new) for flag in self.flags)
        return dataclasses.replace(self, environment=environment, flags=flags)

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


@dataclasses.dataclass(frozen=True)
class AzureBucket(Bucket):
    """The container ``demo`` of an emulator of Azure."""

    def upload(self, name, data):
        import obstore
        from obstore.store import AzureStore

        store = AzureStore(
            "demo", account_name="devstoreaccount1", account_key=AZURE_KEY, endpoint=f"{self.address}/devstoreaccount1",
            client_options={"allow_http": True},
        )  # fmt: skip
        obstore.put(store, name, data)


@dataclasses.dataclass(frozen=True)
class WebBucket(Bucket):
    """The folder ``demo`` of a web server."""

    web: Web | None = None

    def uri(self, path):
        return f"{self.address}/demo/{urllib.parse.quote(path)}"

    def upload(self, name, data):
        self.web.upload(f"demo/{name}", data)


@dataclasses.dataclass(frozen=True)
class HubBucket(WebBucket):
    """The repository ``demo/pool`` of a server that speaks as the Hub does."""

    def uri(self, path):
        return f"hf://datasets/demo/pool/{path}"

    def upload(self, name, data):
        self.web.upload(f"datasets/demo/pool/main/{name}", data)


@contextlib.contextmanager
def web(folder):
    """Yields the folder ``demo`` of a web server, whose files lie in ``folder``."""
    with Web(folder).running() as server:
        yield WebBucket("http", server.address, dict(os.environ), web=server)


@contextlib.contextmanager
def hub(folder):
    """Yields a repository of a Hub, whose files lie in ``folder``."""
    with Web(folder).running() as server:
        (server.root / "datasets/demo/pool/main").mkdir(parents=True)
        yield HubBucket("hf", server.address, dict(os.environ), ("--hf_endpoint", server.address), server)


@contextlib.contextmanager
def azure():
    """Yields the container ``demo`` of Azurite, Microsoft's own emulator; all that a client needs is in its flags.

    Raises:
      ModuleNotFoundError: it is not installed, and npm is not there to install it, or cannot reach its registry.
    """
    flags = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", "{port}"]
    with _running(["node", _azurite()], flags, "/") as address:
        endpoint = f"{address}/devstoreaccount1"
        words = f"AccountName=devstoreaccount1;AccountKey={AZURE_KEY};BlobEndpoint={endpoint}"
        _new_container(endpoint)
        yield AzureBucket("az", address, dict(os.environ), ("--azure_connection_string", words))


def _azurite():
    """Returns the program of Azurite, installed once per machine: 360 MB from npm's registry."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "winnow" / f"azurite-{AZURITE}"
    program = folder / "node_modules/azurite/dist/src/blob/main.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(folder),
            f"azurite@{AZURITE}",
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            raise ModuleNotFoundError(f"azurite cannot be had from npm: {error}") from None
    return str(program)


def _new_container(endpoint):
    """Makes the container ``demo``, signed as Azure's documentation says, without a client."""
    path = urllib.parse.urlparse(endpoint).path
    stamp = email.utils.formatdate(usegmt=True)
    text = (
        f"PUT{chr(10) * 12}x-ms-date:{stamp}\nx-ms-version:2021-08-06\n/devstoreaccount1{path}/demo\nrestype:container"
    )
    signature = base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), "sha256")).decode()
    headers = {"x-ms-date": stamp, "x-ms-version": "2021-08-06",
               "Authorization": f"SharedKey devstoreaccount1:{signature}"}  # fmt: skip
    request = urllib.request.Request(f"{endpoint}/demo?restype=container", None, headers, method="PUT")
    urllib.request.urlopen(request).close()


@contextlib.contextmanager
def _running(program, arguments, ready):
    """Starts a server on a free port of loopback, and yields its address once it answers at ``ready``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [*program, *(text.format(port=port) for text in arguments)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}{ready}").close()
                break
            except urllib.error.HTTPError:  # an answer, too
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
    with _running([sys.executable, "-m", "gcp_storage_emulator"], arguments, "/storage/v1/b/demo") as address:
        environment = {
            **os.environ, "STORAGE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": "my-project",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"),
        }  # fmt: skip
        yield Bucket("gs", address, environment)


@contextlib.contextmanager
def s3():
    """Yields the bucket of a server that speaks S3; no credentials are in its environment, all are in its flags."""
    with _running(
        [sys.executable, "-m", "moto.server"], ["-H", "127.0.0.1", "-p", "{port}"], "/moto-api/data.json"
    ) as address:
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
