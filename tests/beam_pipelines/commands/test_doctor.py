"""``winnow doctor``: what is well says so, what is not has its cure, and no secret is printed."""

import json
import os
import subprocess
import sys

import pytest

from tests.beam_pipelines.files import digests


def checks(stdout):
    return {check["name"]: check for check in json.loads(stdout)["checks"]}


def test_a_machine_that_can_run_all_is_well(winnow, small_pool, tmp_path):
    (tmp_path / "out").mkdir()
    before = digests(tmp_path)
    code, stdout, stderr = winnow("doctor", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out")
    assert (code, stderr) == (0, "")
    assert "all is well" in stdout
    assert "3 shards; the first is readable" in stdout
    assert digests(tmp_path) == before


def test_an_input_that_is_not_there_and_an_output_in_the_way_are_bad_with_the_cure(winnow, tmp_path):
    (tmp_path / "file").touch()
    code, stdout, _ = winnow(
        "doctor", "--input", tmp_path / "*.tar", "--output", tmp_path / "file", "--json", "true"
    )  # fmt: skip
    found = checks(stdout)
    assert code == 1
    assert (found["input"]["state"], found["output"]["state"]) == ("BAD", "BAD")
    assert "matches no file; check the address" in found["input"]["text"]
    assert "is a file; name another folder" in found["output"]["text"]


def test_a_bucket_is_read_and_written(bucket):
    bucket.upload("doctor/pool/00000.tar", b"\0" * 1024)
    flags = ["--input", bucket.uri("doctor/pool/*.tar"), "--output", bucket.uri("doctor/out"), "--json", *bucket.flags]
    command = [sys.executable, "-m", "beam_pipelines.cli", "doctor", *flags]
    done = subprocess.run(command, env=bucket.environment, capture_output=True, text=True)
    found = checks(done.stdout)
    assert (done.returncode, found["input"]["state"], found["output"]["state"]) == (0, "ok", "ok"), done
    assert [*bucket.sizes("doctor/")] == ["doctor/pool/00000.tar"]


def test_credentials_are_named_and_not_printed(winnow, monkeypatch):
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cr3t-a", "HF_TOKEN": "hf_s3cr3tb", "AZURE_STORAGE_ACCOUNT_KEY": "s3cr3t-c"}
    for name, value in {**secrets, "AWS_ACCESS_KEY_ID": "s3cr3t-d"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file.json")
    code, stdout, stderr = winnow("doctor", "--json")
    assert code == 0
    assert "s3cr3t" not in stdout + stderr
    texts = " ".join(check["text"] + check["cure"] for check in json.loads(stdout)["checks"])
    assert "s3:// AWS: by env" in texts
    assert "hf:// Hugging Face: a token" in texts
    assert "az:// Azure: by AZURE_STORAGE_ACCOUNT_KEY" in texts
    assert "names a file that is not there" in texts


@pytest.mark.parametrize(("module", "line"), [("torch", "BAD   torch        cannot be imported: a library is gone")])
def test_a_broken_torch_is_bad_and_does_not_end_the_look(tmp_path, module, line):
    (tmp_path / f"{module}.py").write_text("raise ImportError('a library is gone')")
    command = [sys.executable, "-m", "beam_pipelines.cli", "doctor"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert line in done.stdout
    assert "pip install --force-reinstall torch" in done.stdout
    assert "memory" in done.stdout


def test_a_flag_that_is_unknown_is_refused(winnow):
    code, stdout, stderr = winnow("doctor", "--ouput", "x")
    assert (code, stdout) == (2, "")
    assert "did you mean --output?" in stderr
    assert "is for a pipeline" in winnow("doctor", "--runner", "PrismRunner")[2]
