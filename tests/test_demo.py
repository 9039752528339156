"""The whole demo: the filter catches the planted faults, and neither workers nor a kill change a byte."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from beam_pipelines import cli
from benchmarks import dedup
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


@pytest.fixture(scope="module")
def clustered(whole, tmp_path_factory):
    """Returns the demo's output with small clusters, semantic duplicates, and the clusters of both presets."""
    output = tmp_path_factory.mktemp("clusters") / "out"
    shutil.copytree(whole, output)
    for job, *flags in (
        ["cluster", "--k", "25", "--name", "cells"],
        ["dedup", "--by", "semantic", "--clusters", "cells", "--epsilon", "0.07"],
        ["cluster", "--k", "100"],
        ["cluster", "--k", "500"],
    ):
        assert cli.main([job, "--output", str(output), *flags]) == 0
    return output


def column(output, owner, name):
    folder = output / owner
    return np.concatenate([pq.read_table(path)[name].to_numpy() for path in sorted(folder.glob("*.parquet"))])


def test_semantic_duplicates_are_the_planted_ones_but_for_a_few(clustered):
    pairs = dedup.planted("exact_duplicate") | dedup.planted("near_duplicate")
    found = dedup.found_pairs(str(clustered), "dedup_semantic")
    assert len(pairs) == 24
    assert len(found & pairs) >= 23  # recall
    assert len(found & pairs) >= 0.75 * len(found)  # precision; the others are pictures that are much alike


@pytest.mark.parametrize(("recipe", "k"), [("dbp_laion", 500), ("dbp_datacomp", 100)])
def test_density_based_pruning_of_the_demo_pool(clustered, recipe, k):
    assert cli.main(["select", "--output", str(clustered), "--recipe", recipe]) == 0
    cluster = column(clustered, f"columns/cluster_k{k}", "cluster")
    alive = (cluster >= 0) & (column(clustered, "columns/dedup_semantic", "duplicate_of") == "")
    if recipe == "dbp_datacomp":  # half of the pool by score, of what is left
        score = column(clustered, "columns/tinyclip", "score")
        alive[np.flatnonzero(alive)[np.argsort(-score[alive], kind="stable")][int(0.5 * 711 + 0.5) :]] = False
    kept = column(clustered, "decisions", "copies") > 0
    assert kept.sum() == int(0.4 * alive.sum() + 0.5)
    assert not (kept & ~alive).any()
    similarity = column(clustered, f"columns/cluster_k{k}", "similarity")
    cut = 0
    for number in np.unique(cluster[alive]):
        inside = alive & (cluster == number)
        if kept[inside].any() and not kept[inside].all():
            assert similarity[inside & kept].max() <= similarity[inside & ~kept].min()  # the hard ones stay
            cut += 1
    assert cut > 20
    page = (clustered / "report.html").read_text()
    assert f"(cluster_k{k})" in page
    assert page.count('<article class="cluster">') >= 6
    fit = json.loads((clustered / f"clusters/cluster_k{k}/fit.json").read_text())
    assert f"in {fit['rounds']} rounds; inertia per sample" in page
