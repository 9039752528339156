"""The cluster job on pools of embeddings, against k-means in one process."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from tests.beam_pipelines.embedded import groups, unit, write_scored
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool, picture
from transforms.lib import uids
from transforms.lib.clusters import kmeans, nearest, seeding
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


@pytest.fixture
def shards():
    found = [groups(300, seed=1), groups(170, seed=2), groups(230, seed=3)]
    found[1][5] = 0  # rejected when it was scored
    return found


@pytest.fixture
def out(tmp_path, shards):
    return write_scored(tmp_path / "out", shards)


def stored(out, name, column):
    return np.concatenate([pq.read_table(path)[column].to_numpy() for path in sorted(out.glob(f"columns/{name}/*"))])


def test_it_is_lloyd_over_the_whole_pool(winnow, out, shards):
    code, stdout, stderr = winnow("cluster", "--output", out, "--k", 8, "--rounds", 30, "--metric", "euclidean")
    assert code == 0, stderr
    assert json.loads(stdout)["without_cluster"] == 1
    rows = np.concatenate(shards)
    alive = np.flatnonzero(rows.any(axis=1))
    hexes = [uid for path in sorted(out.glob("columns/index/*")) for uid in pq.read_table(path)["uid"].to_pylist()]
    hashes = uids.keyed_hash(uids.pairs(hexes), 0)[alive]
    order = np.argsort(hashes)
    centroids = rows[alive][order][seeding.draw(rows[alive][order], hashes[order], 8)].astype(np.float64)
    values = []
    while len(values) < 30 and not kmeans.has_converged(tuple(values), 1e-4):
        distances = ((rows[alive, None].astype(np.float64) - centroids) ** 2).sum(2)
        cluster = distances.argmin(1)
        values.append(distances.min(1).sum())
        centroids = np.stack([rows[alive][cluster == j].astype(np.float64).mean(0) for j in range(8)])
    fit = json.loads((out / "clusters/cluster_k8/fit.json").read_text())
    assert fit["inertia"] == pytest.approx(values, rel=1e-6)
    assert fit["samples"] == {"pool": 699, "fitted_on": 699}
    found = load_file(out / "clusters/cluster_k8/centroids.safetensors")["centroids"]
    np.testing.assert_allclose(found, centroids, atol=1e-6)
    plain = ((rows[:, None].astype(np.float64) - found) ** 2).sum(2)
    expected = np.where(rows.any(axis=1), plain.argmin(1), -1)
    assert np.array_equal(stored(out, "cluster_k8", "cluster"), expected)
    similarity = stored(out, "cluster_k8", "similarity")
    np.testing.assert_allclose(similarity[alive], 1 - plain.min(1)[alive] / 2, atol=1e-5)
    assert np.isnan(similarity[305])
    sizes = json.loads((out / "clusters/cluster_k8/sizes.json").read_text())
    assert sizes["sizes"] == np.bincount(expected[alive], minlength=8).tolist()
    assert not (out / "clusters/cluster_k8/fit").exists() or not list((out / "clusters/cluster_k8/fit").iterdir())


@pytest.mark.parametrize("sample", [0, 200])
def test_equal_bytes_for_any_number_of_workers(winnow, tmp_path, shards, sample):
    found = []
    for number, workers in enumerate(([], ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"])):
        out = write_scored(tmp_path / str(number), shards)
        flags = ["--k", 6, "--rounds", 4, "--sample", sample]
        code, _, stderr = winnow("cluster", "--output", out, *flags, *workers)
        assert code == 0, stderr
        found.append(digests(out, "run.json"))
    assert found[0] == found[1]


@pytest.mark.parametrize("metric", ["spherical", "euclidean"])
def test_torch_fits_the_same_bytes_and_assigns_alike(winnow, tmp_path, shards, monkeypatch, metric):
    found = []
    for device in ("cpu", "cpu:0"):  # the second is torch, as on a GPU
        monkeypatch.setattr("transforms.lib.devices.devices.device_of", lambda asked, device=device: device)
        out = write_scored(tmp_path / device, shards)
        code, _, stderr = winnow("cluster", "--output", out, "--k", 6, "--rounds", 4, "--metric", metric)
        assert code == 0, stderr
        fit = [(out / f"clusters/cluster_k6/{name}").read_bytes() for name in ("centroids.safetensors", "fit.json")]
        found.append((fit, *(stored(out, "cluster_k6", name) for name in ("cluster", "similarity", "margin"))))
    assert found[0][0] == found[1][0]
    assert np.array_equal(found[0][1], found[1][1])
    for one, other in zip(found[0][2:], found[1][2:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_order_and_cut_of_the_pool_change_no_centroid(winnow, tmp_path, shards):
    rows = np.concatenate(shards)
    whole = write_scored(tmp_path / "whole", [rows])
    parts = write_scored(tmp_path / "parts", np.split(rows, [1, 100, 101, 480]))
    for out in (whole, parts):
        assert winnow("cluster", "--output", out, "--k", 6, "--rounds", 5, "--sample", 300)[0] == 0
    one, other = ((out / "clusters/cluster_k6/centroids.safetensors").read_bytes() for out in (whole, parts))
    assert one == other
    assert np.array_equal(stored(whole, "cluster_k6", "cluster"), stored(parts, "cluster_k6", "cluster"))


def test_a_sample_has_the_size_that_was_asked_for(winnow, out):
    assert winnow("cluster", "--output", out, "--k", 4, "--rounds", 2, "--sample", 150)[0] == 0
    fit = json.loads((out / "clusters/cluster_k4/fit.json").read_text())
    assert fit["samples"] == {"pool": 699, "fitted_on": 150}


def test_what_is_done_is_not_done_again(winnow, out):
    flags = ["cluster", "--output", out, "--k", 4, "--rounds", 3]
    assert winnow(*flags)[0] == 0
    before = digests(out)
    (out / "columns/cluster_k4/00001.parquet").unlink()
    assert json.loads(winnow(*flags, "--dry_run")[1])["to_fit"] is False
    code, stdout, _ = winnow(*flags)
    counters = json.loads(stdout)["counters"]
    assert (code, counters["cluster.shards_skipped"], counters["cluster.shards_assigned"]) == (0, 2, 1)
    assert "cluster.sampled" not in counters
    assert digests(out) == before
    assert json.loads(winnow(*flags, "--seed", 1, "--dry_run")[1])["to_fit"] is True


@pytest.mark.parametrize("form", ["npy", "safetensors", "pt"])
def test_published_centroids_are_assigned_to_by_inner_product(winnow, out, tmp_path, shards, form):
    import torch

    agreed = ["--k", 9] if form == "npy" else []
    given = (unit(np.random.default_rng(5).normal(size=(9, 16))) * np.linspace(0.4, 1, 9)[:, None]).astype(np.float32)
    path = tmp_path / f"given.{form}"
    if form == "npy":
        np.save(path, given)
    elif form == "pt":
        torch.save(torch.from_numpy(given), path)
    else:
        save_file({"anything": given}, path)
    target = unit(np.random.default_rng(6).normal(size=(5, 16))).astype(np.float32)
    np.save(tmp_path / "target.npy", target)
    flags = ["--centroids", path, "--name", "theirs", "--target", tmp_path / "target.npy", *agreed]
    code, _, stderr = winnow("cluster", "--output", out, *flags)
    assert code == 0, stderr
    rows = np.concatenate(shards).astype(np.float64)
    expected = np.where(rows.any(axis=1), (rows @ given.T).argmax(1), -1)
    assert np.array_equal(stored(out, "theirs", "cluster"), expected)
    l2 = ((rows[:, None] - given) ** 2).sum(2).argmin(1)
    assert not np.array_equal(l2[rows.any(axis=1)], expected[rows.any(axis=1)])
    hits = np.unique((target.astype(np.float16).astype(np.float64) @ given.T).argmax(1))
    assert np.array_equal(np.load(out / "clusters/theirs/target_clusters.npy"), hits)


def test_neither_the_cut_of_a_pool_nor_the_order_of_its_rows_changes_a_column(winnow, tmp_path):
    rows = np.repeat(groups(150, dim=97, seed=4), 4, axis=0)
    numbers = np.random.default_rng(0).permutation(600)
    found = []
    for place, cuts in enumerate(([300, 301, 500], [7, 120, 130, 411])):
        out = tmp_path / str(place)
        order = np.random.default_rng(place).permutation(600)
        write_scored(out, np.split(rows[order], cuts), numbers=np.split(numbers[order], cuts))
        for flags in (["cluster", "--k", 6], ["dedup", "--by", "semantic", "--epsilon", 0.01]):
            code, _, stderr = winnow(*flags, "--output", out)
            assert code == 0, stderr
        back = np.argsort(order)
        names = ["cluster", "similarity", "margin"]
        columns = [stored(out, "cluster_k6", name)[back] for name in names]
        found.append(columns + [stored(out, "dedup_semantic", name)[back] for name in ("duplicate_of", "similarity")])
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)
    assert (found[0][3] != "").sum() == 450
    for column in found[0][:3]:
        assert all(len(set(column[at : at + 4].tolist())) == 1 for at in range(0, 600, 4))


def test_target_images_may_be_a_scored_pool(winnow, out, tmp_path):
    target = write_scored(tmp_path / "target", [groups(20, number=2, seed=7), groups(20, number=2, seed=8)])
    code, _, stderr = winnow("cluster", "--output", out, "--k", 6, "--rounds", 3, "--target", target)
    assert code == 0, stderr
    centroids = load_file(out / "clusters/cluster_k6/centroids.safetensors")["centroids"]
    rows = np.concatenate([groups(20, number=2, seed=7), groups(20, number=2, seed=8)])
    hits = np.unique(nearest.Nearest(centroids, "inner")(rows).cluster)
    assert np.array_equal(np.load(out / "clusters/cluster_k6/target_clusters.npy"), hits)


@pytest.fixture
def pictured(winnow, tmp_path, tiny_network):
    """Returns the output folder of a pool of pictures, scored."""
    out = tmp_path / "pictured"
    pool = make_pool(tmp_path / "pool", shards=2, faults=False)
    code, _, stderr = winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert code == 0, stderr
    return out


def test_target_images_are_embedded_from_a_folder_or_shards(winnow, tmp_path, pictured):
    every = {f"{seed:03d}": picture(seed) for seed in range(2000, 2021)}
    folder, shards = tmp_path / "images", tmp_path / "shards"
    for name, data in every.items():
        path = folder / name[:2] / f"{name}.{'JPG' if name.endswith('7') else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either")
    shards.mkdir()
    tar = b"".join(write_member(f"{name}.jpg", data) for name, data in every.items())  # no captions
    (shards / "0.tar").write_bytes(tar + END_OF_ARCHIVE)
    flags = ["cluster", "--output", pictured, "--k", 6, "--rounds", 3]
    found = []
    for target in (folder, f"{shards}/*.tar", shards):
        code, _, stderr = winnow(*flags, "--target", target)
        assert code == 0, stderr
        found.append(np.load(pictured / "clusters/cluster_k6/target_clusters.npy").tolist())
        assert not list(pictured.glob("clusters/cluster_k6/target/images/*"))
    counters = json.loads(winnow(*flags, "--target", folder)[1])["counters"]
    assert "score.images_scored" not in counters  # embedded once
    spec = json.loads((pictured / "manifest.json").read_text())["score"]["stamps"]["models"]["net"]
    rows = embed_alone(every.values(), spec)
    centroids = load_file(pictured / "clusters/cluster_k6/centroids.safetensors")["centroids"]
    hits = np.unique((rows @ centroids.T).argmax(1)).tolist()
    assert found == [hits] * 3
    assert 1 <= len(hits) < 6


def embed_alone(pictures, spec):
    """Returns unit embeddings by open_clip itself, float32 ``[n, dim]``."""
    import io

    import open_clip
    import torch
    from PIL import Image

    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{spec['source']}")
    pixels = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data in pictures])
    with torch.no_grad():
        return network.eval().encode_image(pixels, normalize=True).numpy()


def test_target_images_that_cannot_be_embedded_are_refused(winnow, out, pictured, tmp_path):
    (tmp_path / "empty").mkdir()
    for root, target, words in (
        (out, tmp_path, "--target: target images cannot be embedded, since net.image is no image embedding of"),
        (pictured, tmp_path / "empty", "holds no image (jpg, "),
        (pictured, tmp_path / "none/*.tar", "matches no file"),
    ):
        code, _, stderr = winnow("cluster", "--output", root, "--k", 4, "--target", target)
        assert (code, words in stderr, "--input" in stderr) == (2, True, False), stderr


def test_embeddings_that_are_not_numbers_are_in_no_cluster(winnow, tmp_path):
    rows = groups(100)
    rows[7, 3] = np.nan
    out = write_scored(tmp_path / "out", [rows])
    code, stdout, stderr = winnow("cluster", "--output", out, "--k", 4, "--rounds", 2)
    assert code == 0, stderr
    assert json.loads(stdout)["without_cluster"] == 1
    assert stored(out, "cluster_k4", "cluster")[7] == -1


def test_identical_vectors_are_one_cluster(winnow, tmp_path):
    out = write_scored(tmp_path / "out", [np.repeat(groups(1), 60, axis=0)])
    code, stdout, stderr = winnow("cluster", "--output", out, "--k", 5, "--rounds", 4)
    assert code == 0, stderr
    assert json.loads(stdout)["largest"] == 60


def test_what_is_wrong_is_said_before_anything_starts(winnow, out, tmp_path):
    np.save(tmp_path / "narrow.npy", np.ones((3, 4), np.float32) / 2)
    np.save(tmp_path / "two.npy", np.eye(16, dtype=np.float32)[:2])
    np.save(tmp_path / "nan.npy", np.full((3, 16), np.nan, np.float32))
    for flags, words in (
        (["--k", 1], "--k must be in 2 .. 100000, got 1"),
        (["--metric", "cosine"], "--metric must be spherical or euclidean"),
        (["--column", "net.score"], "--column net.score is no column of embeddings; there are net.image, net.text"),
        (["--name", "net"], "--name net is a column set that `winnow score` wrote; choose another --name"),
        (["--centroids", tmp_path / "narrow.npy"], "--name is missing"),
        (["--centroids", tmp_path / "narrow.npy", "--name", "x"], "has 4 dimensions, the embeddings 16"),
        (["--centroids", tmp_path / "nan.npy", "--name", "x"], "centroids must be finite"),
        (["--centroids", tmp_path / "two.npy", "--name", "x", "--k", 3], "two.npy has 2; leave out --k"),
        (["--centroids", tmp_path / "two.npy", "--name", "x", "--k", 500], "two.npy has 2; leave out --k"),
        (["--centroids", tmp_path / "no.npy", "--name", "x"], "does not exist"),
        (["--target", tmp_path / "narrow.npy"], "--target"),
        (["--sample", 3], "--sample 3 is less than --k 500"),
    ):
        code, _, stderr = winnow("cluster", "--output", out, *flags)
        assert (code, words in stderr) == (2, True), stderr
    assert not (out / "clusters").exists()


def test_a_pool_smaller_than_k_fails_in_words(winnow, out):
    code, _, stderr = winnow("cluster", "--output", out, "--k", 1000)
    assert (code, stderr.strip().splitlines()[-1]) == (
        1,
        "winnow cluster: --k 1000 is more than the 699 samples of this pool; lower it",
    )


def test_sums_that_travel_in_several_blocks_are_the_same(winnow, tmp_path, shards, monkeypatch):
    found = []
    for block in (4096, 3):
        monkeypatch.setattr("transforms.cluster._BLOCK", block)
        out = write_scored(tmp_path / str(block), shards)
        flags = ["--k", 8, "--rounds", 4, "--metric", "euclidean"]
        assert winnow("cluster", "--output", out, *flags)[0] == 0
        found.append(digests(out, "run.json"))
    assert found[0] == found[1]


def test_later_rounds_are_idle_once_nothing_is_gained(winnow, tmp_path, shards):
    found = []
    for rounds in (30, 60):
        out = write_scored(tmp_path / str(rounds), shards)
        assert winnow("cluster", "--output", out, "--k", 8, "--rounds", rounds, "--tolerance", 1e-3)[0] == 0
        found.append(json.loads((out / "clusters/cluster_k8/fit.json").read_text()))
    assert found[0]["rounds"] == found[1]["rounds"] < 30
    assert found[0]["inertia"] == found[1]["inertia"]


def test_more_clusters_than_are_drawn_singly(winnow, tmp_path):
    out = write_scored(tmp_path / "out", [groups(900, number=300, seed=1), groups(900, number=300, seed=2)])
    code, stdout, stderr = winnow("cluster", "--output", out, "--k", 1100, "--rounds", 3)
    assert code == 0, stderr
    counts = json.loads(stdout)
    assert (counts["samples"], counts["clusters"]) == (1800, 1100)
    assert counts["empty"] < 110
