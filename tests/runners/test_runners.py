"""The commands of docs/runners.md on the real runners: the demo pool, and the same bytes as on Beam's local runner."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

import winnow
from tests.beam_pipelines.files import digests
from tests.runners import fetch
from tests.test_docs import commands

ROOT = Path(__file__).parents[2]
WANTED = os.environ.get("RUNNERS", "two portable prism flink spark").split()
DOCUMENTED = {
    shlex.split(line)[5].removeprefix("out-"): line for line in commands((ROOT / "docs/runners.md").read_text())
}


def run(line, folder):
    """Runs a command of the page in a folder that holds the demo pool as ``pool``; returns its output folder."""
    words = shlex.split(line)[1:]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "beam_pipelines.cli", *words]
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    print(f"{time.monotonic() - start:.0f} s: {line}")
    return folder / re.search(r"--output (\S+)", line).group(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runners")
    (folder / "pool").symlink_to(ROOT / "tests/data/pool")
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return digests(run(DOCUMENTED["direct"], folder))


def needed(name, get):
    """Returns what ``get`` fetches; skips, with the reason, a runner that cannot be had or was not asked for."""
    if name not in WANTED:
        pytest.skip(f"{name} is not among RUNNERS={' '.join(WANTED)}")
    try:
        return str(get())
    except fetch.UnavailableError as error:
        pytest.skip(str(error))


def test_every_command_of_the_page_is_run_here():
    assert set(DOCUMENTED) == {"direct", "two", "prism", "flink", "spark", "portable"}


def test_two_processes(folder, request):
    needed("two", lambda: "")
    assert digests(run(DOCUMENTED["two"], folder)) == request.getfixturevalue("expected")


def test_prism(folder, request):
    binary = needed("prism", fetch.prism)
    output = run(DOCUMENTED["prism"].replace("PRISM", binary), folder)
    assert digests(output) == request.getfixturevalue("expected")


def test_the_ptransforms_of_winnow_on_prism(folder):
    flags = ["--runner=PrismRunner", f"--prism_location={needed('prism', fetch.prism)}", "--environment_type=LOOPBACK"]
    for name, options in (("own-prism", flags), ("own-direct", ["--runner=FnApiRunner"])):
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            shards = pipeline | winnow.ReadWebDataset(folder / "pool/0000[01].tar")
            pairs = shards | winnow.ScorePairs(output=folder / name, model="tinyclip", max_pixels=1 << 20)
            drawn = pairs | winnow.SoftCapSample(100, batch=10) | winnow.TopFraction(0.5)
            _ = drawn | winnow.WriteWebDataset(output=folder / name, max_reject_fraction=0.1)
    run("winnow verify --output own-prism", folder)
    for part in ("columns", "shards"):
        assert digests(folder / "own-prism" / part) == digests(folder / "own-direct" / part) != {}


@pytest.mark.parametrize("kind", ["flink", "spark"])
def test_a_job_server(kind, folder, request):
    jar = needed(kind, lambda: fetch.job_server(kind))
    output = run(DOCUMENTED[kind].replace(kind.upper(), jar), folder)
    assert digests(output) == request.getfixturevalue("expected")


def test_the_job_service_in_python(folder, request):
    needed("portable", lambda: "")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    module = "apache_beam.runners.portability.local_job_service_main"
    with (folder / "service.log").open("w") as log:
        service = subprocess.Popen([sys.executable, "-m", module, "--port", port], stdout=log, stderr=log)
    try:
        wait_for(int(port))
        output = run(DOCUMENTED["portable"].replace("8099", port), folder)
    finally:
        service.terminate()
        service.wait()
    assert digests(output) == request.getfixturevalue("expected")


def wait_for(port):
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.2)
