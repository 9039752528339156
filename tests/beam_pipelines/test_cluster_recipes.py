"""Recipes over clusters, from shards to decisions."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.beam_pipelines.embedded import groups, write_scored
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool


@pytest.fixture
def scored(winnow, tmp_path, tiny_network):
    """Returns the output folder of a scored and clustered pool of three shards with faults."""
    pool, out = make_pool(tmp_path / "pool"), tmp_path / "out"
    code, _, stderr = winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert code == 0, stderr
    target = tmp_path / "target.npy"
    rows = pq.read_table(out / "columns/net/00000.parquet")["image"].combine_chunks().flatten().to_numpy()
    np.save(target, rows.reshape(-1, 16)[:2].astype(np.float32))
    code, _, stderr = winnow("cluster", "--output", out, "--k", 4, "--rounds", 5, "--target", target)
    assert code == 0, stderr
    return out


def frame(out, name):
    return pd.concat(
        [pq.read_table(path).to_pandas() for path in sorted(out.glob(f"{name}/*.parquet"))], ignore_index=True
    )


PRUNE = """
name: prune
source: "arXiv:2401.04578"
steps:
  - density_prune: {clusters: cluster_k4, keep: 0.5, neighbours: 2, prefer: hard}
"""


def test_density_based_pruning_of_a_pool(winnow, scored, tmp_path):
    (tmp_path / "prune.yaml").write_text(PRUNE)
    flags = ["--output", scored, "--recipe", tmp_path / "prune.yaml", "--max_reject_fraction", 1]
    code, stdout, stderr = winnow("select", *flags)
    assert code == 0, stderr
    before = digests(scored / "decisions")
    table = pd.concat([frame(scored, "columns/cluster_k4"), frame(scored, "decisions")], axis=1)
    alive = table[table.cluster >= 0]
    assert json.loads(stdout)["kept"] == int(0.5 * len(alive) + 0.5) == int(alive.copies.sum())
    for _, rows in alive.groupby("cluster"):
        kept, dropped = rows[rows.copies > 0], rows[rows.copies == 0]
        if len(kept) and len(dropped):
            assert kept.similarity.max() <= dropped.similarity.min()
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    assert winnow("select", *flags, *workers)[0] == 0
    assert digests(scored / "decisions") == before
    fitted = json.loads((scored / "books.json").read_text())
    assert "largest quota" in json.dumps(fitted)


def pruned(winnow, out, name, keep):
    """Runs density-based pruning over a column set; returns (exit code, stderr, copies)."""
    recipe = out.parent / "degenerate.yaml"
    step = f"density_prune: {{clusters: {name}, keep: {keep}}}"
    recipe.write_text(f'name: d\nsource: "arXiv:2401.04578"\nsteps:\n  - {step}\n')
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe)
    return code, stderr, frame(out, "decisions").copies.to_numpy() if code == 0 else None


def test_one_cluster_is_pruned_like_any(winnow, tmp_path):
    out = write_scored(tmp_path / "out", [groups(40, seed=1), groups(20, seed=2)])
    np.save(tmp_path / "one.npy", groups(1, seed=3).astype(np.float32))
    assert winnow("cluster", "--output", out, "--centroids", tmp_path / "one.npy", "--name", "one")[0] == 0
    code, stderr, copies = pruned(winnow, out, "one", 0.25)
    assert code == 0, stderr
    similarity = frame(out, "columns/one").similarity.to_numpy()
    assert set(np.flatnonzero(copies)) == set(np.argsort(similarity)[:15])


def test_clusters_of_one_are_kept_or_vanish_and_hold_no_duplicates(winnow, tmp_path):
    out = write_scored(tmp_path / "out", [np.eye(10, 16, dtype=np.float16)])
    code, stdout, stderr = winnow("cluster", "--output", out, "--k", 10, "--rounds", 3, "--name", "lone")
    assert code == 0, stderr
    assert (json.loads(stdout)["largest"], json.loads(stdout)["empty"]) == (1, 0)
    code, stdout, stderr = winnow("dedup", "--output", out, "--by", "semantic", "--clusters", "lone", "--epsilon", 0.9)
    assert code == 0, stderr
    assert json.loads(stdout)["duplicates"] == 0
    for keep, expected in ((0.3, 3), (1, 10)):
        code, stderr, copies = pruned(winnow, out, "lone", keep)
        assert code == 0, stderr
        assert copies.sum() == expected


def test_a_budget_that_cannot_be_met_is_named(winnow, tmp_path):
    out = write_scored(tmp_path / "out", [groups(60, seed=1)])
    assert winnow("cluster", "--output", out, "--k", 8, "--rounds", 5)[0] == 0
    filled = (np.bincount(frame(out, "columns/cluster_k8").cluster) > 1).sum()
    code, stderr, _ = pruned(winnow, out, "cluster_k8", 0.02)
    line = f"density_prune: the clusters keep {filled} samples at least, more than the 1 to keep; raise keep"
    assert (code, line in stderr) == (1, True), stderr
    assert not (out / "decisions").exists()


def test_the_report_shows_the_clusters(winnow, scored, tmp_path):
    (tmp_path / "prune.yaml").write_text(PRUNE)
    flags = ["--output", scored, "--recipe", tmp_path / "prune.yaml", "--max_reject_fraction", 1]
    assert winnow("select", *flags)[0] == 0
    page = (scored / "report.html").read_text()
    table = pd.concat([frame(scored, "columns/cluster_k4"), frame(scored, "decisions")], axis=1)
    alive = table[table.cluster >= 0]
    shown = re.findall(
        r"<h3>Cluster (\d+).*?(\d+) samples?</span> · <span class=.fig.>(\d+) kept.*?similarity ([\d.-]+)", page, re.S
    )
    expected = [
        (number, len(rows), (rows.copies > 0).sum(), rows.similarity.mean())
        for number, rows in alive.groupby("cluster")
    ]
    expected.sort(key=lambda row: -row[1])
    assert [tuple(map(int, row[:3])) for row in shown] == [row[:3] for row in expected]
    np.testing.assert_allclose([float(row[3]) for row in shown], [row[3] for row in expected], atol=6e-4)
    assert page.count("data:image/jpeg") > 4 * 8
    fit = json.loads((scored / "clusters/cluster_k4/fit.json").read_text())
    mean = [value / fit["samples"]["fitted_on"] for value in fit["inertia"]]
    assert f"in {len(mean)} rounds; inertia per sample, from {mean[0]:.6g} to {mean[-1]:.6g}" in page
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    assert winnow("select", *flags, *workers)[0] == 0
    assert (scored / "report.html").read_text() == page


def test_the_report_shows_clusters_that_the_recipe_does_not_read(winnow, scored):
    flags = ["--output", scored, "--recipe", "clip_score", "--max_reject_fraction", 1]
    assert winnow("select", *flags)[0] == 0
    assert "(cluster_k4)" in (scored / "report.html").read_text()


def test_image_based_by_the_clusters_of_targets(winnow, scored, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "name: r\nsource: 'arXiv:2304.14108'\nsteps:\n  - image_based: {clusters: cluster_k4}\n"
    )
    flags = ["--output", scored, "--max_reject_fraction", 1]
    code, _, stderr = winnow("select", *flags, "--recipe", tmp_path / "r.yaml")
    assert code == 0, stderr
    table = pd.concat([frame(scored, "columns/cluster_k4"), frame(scored, "decisions")], axis=1)
    hits = np.load(scored / "clusters/cluster_k4/target_clusters.npy")
    assert 0 < table.copies.sum() < len(table)
    assert np.array_equal(table.copies > 0, table.cluster.isin(hits))
    by_column = table.copies.tolist()
    (tmp_path / "f.yaml").write_text(
        f"name: f\nsource: 'arXiv:2304.14108'\nsteps:\n  - image_based: {{centroids: "
        f"{scored}/clusters/cluster_k4/centroids.safetensors, targets: {tmp_path}/target.npy}}\n"
    )
    assert winnow("select", *flags, "--recipe", tmp_path / "f.yaml")[0] == 0
    assert frame(scored, "decisions").copies.tolist() == by_column


def test_a_column_that_is_not_there_says_how_to_get_it(winnow, scored, tmp_path):
    code, _, stderr = winnow("select", "--output", scored, "--recipe", "dbp_laion")
    assert code == 2
    assert "`winnow cluster --name cluster_k500` adds it" in stderr
    (scored / "clusters/cluster_k4/centroids.safetensors").unlink()
    (tmp_path / "prune.yaml").write_text(PRUNE)
    code, _, stderr = winnow("select", "--output", scored, "--recipe", tmp_path / "prune.yaml")
    assert code == 2
    assert "density_prune.centroids: " in stderr
    assert "clusters/cluster_k4/centroids.safetensors does not exist" in stderr


@pytest.mark.parametrize("name", ["image_based", "datacomp_1b"])
def test_image_based_presets_run(winnow, scored, name):
    (scored / "manifest.json").unlink()
    for shard in sorted(scored.glob("columns/index/*.parquet")):
        index = pq.read_table(shard)
        for owner, columns in (
            ("language", {"label": ["en"] * len(index), "probability": np.ones(len(index), np.float32)}),
            ("caption", {name: np.full(len(index), 9, np.int32) for name in ("words", "characters", "tokens")}),
        ):
            from transforms.lib.columnstore import columns as store

            path = scored / "columns" / owner / shard.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(store.to_parquet(__import__("pyarrow").table(columns), "by hand"))
    flags = ["--recipe", name, "--set", "image_based.clusters=cluster_k4", "--max_reject_fraction", 1]
    code, stdout, stderr = winnow("select", "--output", scored, *flags)
    assert code == 0, stderr
    assert json.loads(stdout)["kept"] > 0
