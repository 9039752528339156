"""A real storage server on loopback, and what a client needs to reach it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

CREDENTIALS = {  # never refreshed, never sent anywhere but to loopback
    "type": "authorized_user", "client_id": "x", "client_secret": "x", "refresh_token": "x",
    "token": "loopback", "expiry": "2099-01-01T00:00:00Z",
}  # fmt: skip


@contextlib.contextmanager
def storage(folder):
    """Yields the environment of a client of Google Cloud Storage with the bucket ``demo``; writes to ``folder``."""
    (folder / "adc.json").write_text(json.dumps(CREDENTIALS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", f"--port={port}", "--in-memory",
         "--default-bucket=demo"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"{address}/storage/v1/b/demo").close()
                break
            except OSError:
                time.sleep(0.1)
        yield {
            **os.environ, "STORAGE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": "my-project",
            "GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"),
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def listed(environment, prefix):
    """Returns the names of the objects in ``demo`` below a prefix."""
    address = f"{environment['STORAGE_EMULATOR_HOST']}/storage/v1/b/demo/o?prefix={prefix}"
    with urllib.request.urlopen(address) as answer:
        return {item["name"] for item in json.load(answer).get("items", [])}
