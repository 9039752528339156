"""The whole demo: the filter catches the planted faults, and neither workers nor a kill change a byte."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from demo import run
from tests.beam_pipelines.files import digests

ROOT = Path(__file__).parents[1]
POOL = ROOT / "tests/data/pool"
FLAGS = ["--recipe", "dfn", "--keep_fraction", "0.5", "--samples_per_shard", "100"]


def command(output, shards, *more):
    inputs = [f"--input={path}" for path in shards]
    return [sys.executable, "-m", "beam_pipelines.curate", *inputs, "--output", str(output), *FLAGS, *more]


@pytest.fixture(scope="module")
def shards():
    return sorted(POOL.glob("*.tar"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards):
    output = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(command(output, shards), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output


def test_the_filter_drops_four_of_five_shuffled_captions(whole):
    dropped, planted = run.caught(whole, POOL / "faults.json", "shuffled_caption")
    assert planted > 200
    assert dropped >= 0.8 * planted


def test_the_books_name_every_planted_fault(whole):
    books = json.loads((whole / "books.json").read_text())
    assert books["samples"] == 716
    assert sum(books["rejected"].values()) == 5
    assert books["kept"] == 356  # floor(0.5 * 711 + 0.5)


def test_two_workers_and_another_order_of_shards_give_the_same_bytes(whole, shards, tmp_path):
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    done = subprocess.run(command(tmp_path / "out", shards[::-1], *workers), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path / "out") == digests(whole)


def test_a_killed_run_ends_in_the_same_bytes_and_scores_no_finished_shard_again(whole, shards, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        command(output, shards), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(list(output.glob("columns/tinyclip/*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list(output.glob("columns/tinyclip/*.parquet")))
    assert 2 <= finished < 6
    assert not (output / "books.json").exists()
    done = subprocess.run(command(output, shards), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counters"]["score.shards_skipped"] >= finished - 1  # its index may be missing
    for path in output.rglob(".*.partial"):  # what the kill cut short: hidden, and never taken for a result
        path.unlink()
    assert digests(output) == digests(whole)
