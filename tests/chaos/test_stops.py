"""Jobs that are stopped, killed or started twice: one line, an exit code that says so, and nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from beam_pipelines import cli
from tests.chaos import processes
from tests.conftest import make_pool
from transforms.outputs import leases, manifest
from transforms.outputs.manifest import Section
from transforms.storage import filesystem
from transforms.storage import processes as tags
from transforms.storage.local import partial_name

FLAGS = ("--keep_fraction", "0.5", "--max_reject_fraction", "0.2")


@pytest.fixture(scope="module")
def pool_of_scores(tiny_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stops")
    pool, out = make_pool(folder / "pool", shards=12), folder / "out"
    assert cli.main(["score", "--input", f"{pool}/*.tar", "--output", str(out), "--model", f"net={tiny_network}"]) == 0
    return out


@pytest.fixture
def scored(pool_of_scores, tmp_path):
    return shutil.copytree(pool_of_scores, tmp_path / "out")


def ended():
    """Returns the tag of a process that has ended."""
    code = "import time, transforms.storage.processes as p; print(p.own_tag(), flush=True); time.sleep(99)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE, text=True, cwd=processes.ROOT,
    )  # fmt: skip
    tag = process.stdout.readline().strip()
    assert tags.is_alive(tag) is True
    process.kill()
    process.wait()
    assert tags.is_alive(tag) is False
    return tag


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_job_ends_in_one_line_and_goes_on(winnow, scored, number):
    job = processes.start("select", "--output", scored, *FLAGS)
    assert processes.until(lambda: [*scored.glob("selections/*/decisions/*")], job)
    os.kill(job.pid, number)
    stdout, stderr = job.communicate(timeout=60)
    if job.returncode == 0:
        pytest.skip("it was done before it was stopped")
    assert (job.returncode, stdout, len(stderr.splitlines())) == (130, "", 1), stderr
    assert stderr.startswith("winnow select: stopped")
    assert stderr.endswith("what is done is kept: run the same command again to go on\n")
    assert not (scored / leases.FOLDER).exists()
    code, _, stderr = winnow("reshard", "--output", scored)
    assert code == 2
    assert "did not finish; run it again" in stderr
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0
    assert winnow("reshard", "--output", scored)[0] == 0


def test_of_two_runs_of_one_job_the_second_is_refused(winnow, scored):
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0
    jobs = [processes.start("reshard", "--output", scored) for _ in range(2)]
    ends = [(job.communicate(timeout=200), job.returncode) for job in jobs]
    codes = sorted(code for _, code in ends)
    assert codes in ([0, 0], [0, 2]), ends
    for (_, stderr), code in ends:
        if code == 2:
            assert len(stderr.splitlines()) == 1
            assert "another `winnow reshard` is at work there (process " in stderr
            assert "wait for it to end, or stop it" in stderr
    assert winnow("verify", "--output", scored)[0] == 0
    assert not (scored / leases.FOLDER).exists()


def test_a_lease_of_a_live_run_is_respected_and_that_of_a_dead_one_taken_over(winnow, scored):
    lease = leases.take(str(scored), "select")
    code, _, stderr = winnow("select", "--output", scored, *FLAGS)
    assert (code, len(stderr.splitlines())) == (2, 1)
    assert f"(process {os.getpid()} on " in stderr
    path = scored / leases.FOLDER / "select.json"
    path.write_text(json.dumps({**lease, "process": ended()}))
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0
    assert leases.renew(str(scored), lease) is None, "its former owner sees that it lost it"
    elsewhere = json.dumps({**lease, "process": "00000000-1-1"})
    path.parent.mkdir()
    path.write_text(elsewhere)
    assert winnow("select", "--output", scored, *FLAGS)[0] == 2, "another machine may be slow"
    os.utime(path, (path.stat().st_mtime - leases.DEAD_AFTER - 1,) * 2)
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0


def test_a_lease_is_had_by_one_of_many_processes(tmp_path):
    code = (
        "import sys, time\nfrom transforms.outputs import leases\nfrom transforms.lib.errors import InputError\n"
        "try:\n  leases.take(sys.argv[1], 'job'); print('mine', flush=True); time.sleep(60)\n"
        "except InputError: print('no', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    rivals = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=processes.ROOT) for _ in range(4)]
    try:
        assert sorted(rival.stdout.readline() for rival in rivals) == ["mine\n", "no\n", "no\n", "no\n"]
    finally:
        for rival in rivals:
            rival.kill()
            rival.communicate()


def test_jobs_that_end_together_lose_no_section_of_the_manifest(tmp_path):
    code = (
        "import sys\nfrom transforms.outputs import manifest\n"
        "for n in range(10): manifest.write([manifest.Section(f'{sys.argv[2]} {n}')], sys.argv[1])\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=processes.ROOT) for name in "abc"]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    assert len(manifest.read(str(tmp_path)).sections) == 30
    manifest.write([Section("last")], str(tmp_path))
    assert len(manifest.read(str(tmp_path)).sections) == 31


def test_what_a_dead_run_left_half_written_goes_and_what_a_live_one_writes_stays(winnow, scored, tmp_path):
    tag = ended()
    live = scored / "columns" / partial_name("x")
    dead = scored / f".run.json.{tag}.abc.partial"
    for path in (live, dead, scored / ".run.json.abc.partial"):
        path.write_bytes(b"half")
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0
    assert [path.name for path in scored.rglob(".*.partial")] == [live.name]
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / f".run.json.{tag}.abc.partial").write_bytes(b"half")
    (alone / leases.FOLDER).mkdir()
    (alone / leases.FOLDER / "score.json").write_text("{")
    flags = ("--input", scored.parent / "none/*.tar", "--output", alone)
    assert "is not empty" not in winnow("score", *flags)[2]
    assert filesystem.read_if_exists(str(alone / "run.json")) is None


def test_a_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "beam_pipelines.cli", "recipes"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=processes.ROOT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_disk_that_cannot_be_written_is_one_line(winnow, scored, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    code, _, stderr = winnow("score", "--input", tmp_path / "x.tar", "--output", link)
    assert code == 2
    assert f"--output {link}: {link} is a link that leads nowhere" in stderr
    (scored / "selections").symlink_to(tmp_path / "nowhere")
    code, _, stderr = winnow("select", "--output", scored, *FLAGS)
    assert (code, len(stderr.splitlines())) == (1, 1)
    assert "something is in the way, such as a link that leads nowhere" in stderr


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(winnow, scored):
    limited = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.argv[0] = 'winnow'; "
        "from beam_pipelines import cli; sys.exit(cli.main())"
    )
    command = [sys.executable, "-c", limited, "select", "--output", str(scored), *FLAGS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=processes.ROOT)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1), done.stderr
    assert "run the same command again: what is done is kept" in done.stderr
    assert not [*scored.rglob(".*.partial")]
    assert winnow("select", "--output", scored, *FLAGS)[0] == 0
