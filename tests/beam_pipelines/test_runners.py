"""The choice of a runner is checked before work starts, and the page about runners names what is taken."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from beam_pipelines.running import beam_options, options, runners
from tests.beam_pipelines.files import digests
from tests.stores import one_line, run_with
from tests.test_docs import commands

PAGE = (Path(__file__).parents[2] / "docs/runners.md").read_text()


def refused(winnow, *flags):
    code, _, stderr = winnow("verify", "--output", "out", *flags)
    assert code == 2
    return [line for line in stderr.splitlines() if "holds no" not in line and "manifest" not in line]


def test_an_unknown_runner_is_refused_with_those_there_are(winnow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = refused(winnow, "--runner", "FlankRunner")
    assert "--runner FlankRunner is unknown; take one of DirectRunner" in line
    assert "SparkRunner" in line


def test_what_a_runner_lacks_is_said_at_once(winnow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = refused(winnow, "--runner", "prismrunner", "--prism_location", "prism")
    assert "--prism_location prism does not exist; docs/runners.md" in line
    (line,) = refused(winnow, "--runner", "PortableRunner")
    assert "needs --job_endpoint" in line
    monkeypatch.setattr(shutil, "which", lambda name: None)
    (line,) = refused(winnow, "--runner", "FlinkRunner")
    assert "needs Java" in line


@pytest.mark.skipif(shutil.which("java") is None, reason="without Java these runners are refused earlier")
@pytest.mark.parametrize(("runner", "flag"), [("FlinkRunner", "flink_job"), ("SparkRunner", "spark_job")])
def test_a_job_server_that_cannot_be_fetched_is_one_line_before_work(small_pool, tmp_path, runner, flag):
    nowhere = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    job = ["score", "--input", f"{small_pool}/*.tar", "--model", "tinyclip", "--output", tmp_path / "out"]
    flags = ["--runner", runner, "--jar_cache_dir", tmp_path / "jars"]
    done = run_with({**os.environ, **nowhere}, *job, *flags)
    one_line(done, f"--runner {runner}: its job server cannot be fetched", f"give --{flag}_server_jar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", [None, "directrunner", "DirectRunner", "FnApiRunner"])
def test_the_local_runner_is_never_one_that_has_to_be_downloaded(given):
    from apache_beam.options.pipeline_options import StandardOptions

    flags = [] if given is None else ["--runner", given]
    assert beam_options.pipeline_options(flags).view_as(StandardOptions).runner == "FnApiRunner"


def test_the_page_of_runners_is_about_those_that_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("PRISM", "FLINK", "SPARK"):
        Path(name).touch()
    monkeypatch.setattr(shutil, "which", lambda name: name)
    rows = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert set(rows) == set(runners.RUNNERS) - {"FnApiRunner"}
    lines = commands(PAGE)
    assert len(lines) == 6
    for line in lines:
        assert options.parse("curate", shlex.split(line)[2:]).problems == []


def test_a_job_service_writes_the_same_bytes(winnow, small_pool, tiny_network, tmp_path):
    """Beam's own service in Python, in this process: nothing but the portable interface between driver and workers."""
    from apache_beam.runners.portability import local_job_service

    service = local_job_service.LocalJobServicer(staging_dir=str(tmp_path / "staging"))
    port = service.start_grpc_server(0)
    job = ("curate", "--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}", "--keep_fraction", "0.4")
    job += ("--max_reject_fraction", "0.2", "--output")
    try:
        flags = ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{port}", "--environment_type", "LOOPBACK"]
        code, _, stderr = winnow(*job, tmp_path / "portable", *flags)
    finally:
        service.stop(timeout=1)
    assert code == 0, stderr
    assert winnow(*job, tmp_path / "local")[0] == 0
    assert digests(tmp_path / "portable") == digests(tmp_path / "local")
