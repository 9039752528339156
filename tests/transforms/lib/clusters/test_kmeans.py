"""k-means against scikit-learn, faiss and float64."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.lib import uids
from transforms.lib.clusters import kmeans, nearest, nearest_torch, seeding
from transforms.lib.errors import CapacityError, InputError


def blobs(n=600, dim=16, groups=8, seed=0, spread=0.35):
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(groups, dim))
    rows = centres[chance.integers(0, groups, n)] + spread * chance.normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def hashes(n):
    return np.sort(uids.keyed_hash(np.arange(2 * n, dtype=np.uint64).reshape(-1, 2), 0))


def fit(rows, start, metric, rounds=100):
    """Runs Lloyd's rounds to their end; returns (centroids, inertias)."""
    centroids, found = start, []
    rule = "inner" if metric == "spherical" else "euclidean"
    for _ in range(rounds):
        sums = kmeans.cluster_sums(rows, nearest.Nearest(centroids, rule)(rows).cluster)
        found.append(kmeans.inertia(metric, sums, kmeans.squares(rows), centroids))
        after = kmeans.update(metric, sums, centroids, split=True)
        if np.array_equal(after, centroids):
            break
        centroids = after
    return centroids, found


def test_it_ends_where_scikit_learn_ends():
    from sklearn.cluster import KMeans

    rows = blobs()
    start = rows[seeding.draw(rows, hashes(len(rows)), 8)].astype(np.float32)
    _, inertias = fit(rows, start, "euclidean")
    theirs = KMeans(8, init=start, n_init=1, max_iter=100, tol=0, algorithm="lloyd").fit(rows.astype(np.float64))
    assert inertias[-1] == pytest.approx(theirs.inertia_, rel=1e-4)
    assert all(later <= earlier for earlier, later in itertools.pairwise(inertias))


@pytest.mark.parametrize("spherical", [True, False])
def test_it_ends_where_faiss_ends(spherical):
    import faiss

    rows = blobs(seed=2)
    start = rows[seeding.draw(rows, hashes(len(rows)), 8)].astype(np.float32)
    if spherical:
        start /= np.linalg.norm(start, axis=1, keepdims=True)
    centroids, inertias = fit(rows, start, "spherical" if spherical else "euclidean", rounds=25)
    theirs = faiss.Kmeans(16, 8, niter=25, spherical=spherical, max_points_per_centroid=10_000)
    theirs.train(rows.astype(np.float32), init_centroids=start)
    score = kmeans.inertia(
        "spherical" if spherical else "euclidean",
        kmeans.cluster_sums(
            rows, nearest.Nearest(theirs.centroids, "inner" if spherical else "euclidean")(rows).cluster
        ),
        kmeans.squares(rows),
        kmeans.rounded_to_grid(theirs.centroids),
    )
    assert inertias[-1] == pytest.approx(score, rel=1e-4)
    np.testing.assert_allclose(centroids, theirs.centroids, atol=1e-4)


def test_inertia_is_what_it_says():
    rows = blobs()
    centroids = kmeans.rounded_to_grid(blobs(8, seed=1))
    for metric, rule in (("euclidean", "euclidean"), ("spherical", "inner")):
        cluster = nearest.Nearest(centroids, rule)(rows).cluster
        wide, own = rows.astype(np.float64), centroids[cluster].astype(np.float64)
        plain = ((wide - own) ** 2).sum() if metric == "euclidean" else (1 - (wide * own).sum(1)).sum()
        found = kmeans.inertia(metric, kmeans.cluster_sums(rows, cluster), kmeans.squares(rows), centroids)
        assert found == pytest.approx(plain, rel=1e-6)


@given(st.lists(st.integers(1, 599), max_size=4, unique=True), st.randoms())
def test_no_split_and_no_order_changes_a_sum(cuts, chance):
    rows = blobs()
    cluster = np.arange(600) % 7
    parts = np.split(np.arange(600), sorted(cuts))
    chance.shuffle(parts)
    total, counts = np.zeros((7, 16), np.int64), np.zeros(7, np.int64)
    for part in parts:
        sums = kmeans.cluster_sums(rows[part], cluster[part])
        total[sums.ids] += sums.vectors
        counts[sums.ids] += sums.counts
    whole = kmeans.cluster_sums(rows, cluster)
    assert np.array_equal(total, whole.vectors)
    assert np.array_equal(counts, whole.counts)
    plain = [rows[cluster == j].astype(np.float64).sum(0) for j in range(7)]
    np.testing.assert_array_equal(total / kmeans.UNIT, plain)


@pytest.mark.parametrize("rule", nearest.RULES)
def test_the_nearest_centroid_is_exact_however_the_rows_are_cut(rule):
    chance = np.random.default_rng(3)
    rows = blobs(2100, dim=48, groups=2000)
    centroids = kmeans.rounded_to_grid(blobs(40, dim=48, seed=9))
    centroids[7] = centroids[3]  # a tie everywhere: the lower number wins
    centroids[11] = centroids[5] + np.float32(2.0**-24) * chance.choice([-1, 1], 48)  # closer than float32 can tell
    half = (centroids.astype(np.float64) ** 2).sum(1) / 2 * (rule == "euclidean")
    plain = rows.astype(np.float64) @ centroids.T.astype(np.float64) - half
    assign = nearest.Nearest(centroids, rule)
    found = assign(rows)
    assert np.array_equal(found.cluster, plain.argmax(1))
    assert {5, 11} <= set(found.cluster.tolist())
    assert not (found.cluster == 7).any()
    for part in np.split(chance.permutation(len(rows)), [1, 500, 1777]):
        assert np.array_equal(assign(rows[part]).cluster, plain.argmax(1)[part])
    ranked = np.sort(plain, axis=1)
    assert np.array_equal(found.margin, (ranked[:, -1] - ranked[:, -2]).astype(np.float32))
    cosine = (rows.astype(np.float64) * centroids[found.cluster]).sum(1)
    if rule == "euclidean":
        cosine = 1 - ((rows.astype(np.float64) - centroids[found.cluster]) ** 2).sum(1) / 2
    np.testing.assert_allclose(found.similarity, cosine, atol=6e-8)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@given(rule=st.sampled_from(nearest.RULES), height=st.integers(1, 70), seed=st.integers(0, 99), tile=st.integers(3, 40))
@settings(max_examples=20, deadline=None)
def test_no_neighbour_of_a_row_changes_what_is_said_of_it(device, rule, height, seed, tile):
    chance = np.random.default_rng(seed)
    once = blobs(160, dim=97, seed=seed)  # a width that ends in the middle of any vector register
    order = chance.permutation(np.repeat(np.arange(160), 3))
    centroids = blobs(30, dim=97, seed=seed + 1).astype(np.float32)
    centroids[12], centroids[21] = (
        centroids[4],
        centroids[5] + np.float32(2.0**-24),
    )  # second and third are equal, or nearly
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_TILE", tile)
        patch.setattr(nearest_torch, "_TILE", tile)
        assign = nearest.Nearest(centroids, rule, device)
        parts = [assign(once[order[at : at + height]]) for at in range(0, len(order), height)]
        clusters = np.concatenate([assign.clusters(once[order[at : at + height]]) for at in range(0, 480, height)])
    cut = nearest.Assignment(*map(np.concatenate, zip(*parts, strict=True)))
    whole = nearest.Nearest(centroids, rule)(once)
    assert [part.tobytes() for part in cut] == [part[order].tobytes() for part in whole]
    assert clusters.tobytes() == cut.cluster.tobytes()


def test_centroids_in_several_tiles_are_compared_alike(monkeypatch):
    rows, centroids = blobs(300), blobs(70, seed=4)
    whole = nearest.Nearest(centroids, "inner")(rows)
    monkeypatch.setattr(nearest, "_TILE", 16)
    for one, other in zip(whole, nearest.Nearest(centroids, "inner")(rows), strict=True):
        assert one.tobytes() == other.tobytes()


def test_every_finite_half_is_widened_exactly():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    rows = every[np.isfinite(every)].reshape(-1, 128)
    assert np.array_equal(nearest._widen(rows, np.empty(rows.shape, np.float32)), rows.astype(np.float32))


@pytest.mark.parametrize("rule", nearest.RULES)
@pytest.mark.parametrize("tile", [7, 64, 8192])
def test_torch_finds_the_same_clusters(monkeypatch, rule, tile):
    monkeypatch.setattr(nearest_torch, "_TILE", tile)
    monkeypatch.setattr(nearest_torch, "_ROWS", 100)
    rows, centroids = blobs(300, dim=48, groups=60), kmeans.rounded_to_grid(blobs(70, dim=48, seed=4))
    centroids[33] = centroids[8]  # a tie everywhere: the lower number wins
    centroids[40] = centroids[9] + np.float32(2.0**-24)  # closer than float32 can tell
    mine = nearest.Nearest(centroids, rule)(rows)
    theirs = nearest.Nearest(centroids, rule, "cpu:0")(rows)
    assert mine.cluster.tobytes() == theirs.cluster.tobytes()
    assert 33 not in theirs.cluster
    for one, other in zip(mine[1:], theirs[1:], strict=True):
        assert one.tobytes() == other.tobytes()
    alone = nearest.Nearest(centroids[:1], rule, "cpu:0")(rows)
    assert not alone.cluster.any()
    assert np.isinf(alone.margin).all()


def test_a_gpu_that_is_not_there_is_said():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="no GPU is visible to torch"):
        nearest.Nearest(blobs(2), "inner", "cuda")


def test_inner_products_and_distances_choose_differently():
    rows = np.array([[1, 0]], np.float16)
    centroids = np.array([[0.9, 0], [1.2, 1.2]], np.float32)
    assert nearest.Nearest(centroids, "inner")(rows).cluster[0] == 1
    assert nearest.Nearest(centroids, "euclidean")(rows).cluster[0] == 0


def test_drawn_starts_have_the_odds_of_their_distances():
    rows = np.array([[0, 0], [1, 0], [0, 2]], np.float16) / np.float16(2)
    second = []
    for seed in range(4000):
        found = uids.keyed_hash(np.arange(6, dtype=np.uint64).reshape(-1, 2), seed)
        second.append(seeding.draw(rows, found, 2)[1])
    share = np.bincount(second, minlength=3) / 4000  # the first is row 0: odds 1 : 4
    np.testing.assert_allclose(share, [0, 0.2, 0.8], atol=0.03)


def test_starts_in_batches_cover_the_groups_too():
    rows = blobs(4000, groups=40, spread=0.05)
    found = seeding.draw(rows, hashes(4000), 1200)
    assert len(set(found.tolist())) == 1200
    few = rows[found[:200]]
    assert nearest.Nearest(few.astype(np.float32), "euclidean")(rows).similarity.min() > 0.7


def test_identical_vectors_and_one_cluster():
    rows = np.repeat(blobs(1), 50, axis=0)
    start = rows[seeding.draw(rows, hashes(50), 4)].astype(np.float32)
    centroids, inertias = fit(rows, start, "euclidean", rounds=5)
    assert np.isfinite(centroids).all()
    assert inertias[0] == pytest.approx(0, abs=1e-6)
    one, _ = fit(blobs(), start[:1], "euclidean")
    np.testing.assert_allclose(one[0], blobs().astype(np.float64).mean(0), atol=1e-7)
    assigned = nearest.Nearest(one, "inner")(blobs())
    assert not assigned.cluster.any()
    assert np.isinf(assigned.margin).all()


def test_fewer_samples_than_clusters_is_said():
    with pytest.raises(CapacityError, match="9 clusters cannot be made of 5 samples; lower --k"):
        seeding.draw(blobs(5), hashes(5), 9)


def test_empty_clusters_take_half_of_the_largest():
    assert kmeans.splits(np.array([0, 10, 3, 0, 0])) == [(0, 1), (3, 0), (4, 1)]
    rows = blobs()
    far = np.full((1, 16), -0.25, np.float32)
    start = np.concatenate([blobs(2, seed=5).astype(np.float32), far * 0 + 1.9 / 4])
    start[2] = -start[0]
    sums = kmeans.cluster_sums(rows, np.zeros(600, int))
    filled = kmeans.update("spherical", sums, start, split=True)
    assert len(set(nearest.Nearest(filled, "inner")(rows).cluster.tolist())) >= 2
    kept = kmeans.update("spherical", sums, start, split=False)
    np.testing.assert_allclose(kept[1:], start[1:], atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(filled, axis=1)[[0, 1]], 1, atol=1e-6)


def test_the_halves_of_a_split_lie_on_either_side_of_the_mean():
    rows = np.full((4, 3), 0.5, np.float16)
    sums = kmeans.cluster_sums(rows, np.zeros(4, np.int64))
    halves = kmeans.update("euclidean", sums, np.zeros((2, 3), np.float32), split=True).astype(np.float64)
    np.testing.assert_array_equal(halves[0] + halves[1], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(halves[1] - halves[0], np.array([1, -1, 1]) / 1024)


def test_many_starts_are_drawn_in_equal_batches(monkeypatch):
    monkeypatch.setattr(seeding, "ONE_BY_ONE", 9)
    monkeypatch.setattr(seeding, "_BATCHES", 4)
    sizes, race = [], seeding._race

    def recorded(nearest, bits, taken, number):
        sizes.append(number)
        return race(nearest, bits, taken, number)

    monkeypatch.setattr(seeding, "_race", recorded)
    rows = blobs(100)
    assert len(set(seeding.draw(rows, hashes(100), 10).tolist())) == 10
    assert sizes == [3, 3, 3], "after the first row, a quarter of the starts in each batch, rounded up"


def test_what_cannot_be_clustered():
    rows = blobs(6)
    rows[1] = np.nan
    rows[2] = 0
    rows[3, 0] = np.inf
    assert kmeans.clusterable(rows, unit=True).tolist() == [True, False, False, False, True, True]
    with pytest.raises(InputError, match=r"norm 1\.5; it must be 1: use --metric euclidean, or divide"):
        kmeans.clusterable((blobs(3) * np.float16(1.5)).astype(np.float16), unit=True)
    with pytest.raises(InputError, match="at most 2: divide"):
        kmeans.clusterable(blobs(3) * np.float16(3), unit=False)
    for bad in (np.full((1, 4), np.nan), np.full((2, 4), 3.0), np.zeros((0, 4))):
        with pytest.raises(InputError, match="centroids must be finite"):
            nearest.Nearest(bad, "inner")


def test_when_it_has_converged():
    assert not kmeans.has_converged((5.0,), 0.1)
    assert not kmeans.has_converged((5.0, 4.0), 0.1)
    assert kmeans.has_converged((5.0, 4.6), 0.1)
    assert kmeans.has_converged((0.0, 0.0), 0.0)


@pytest.mark.parametrize("rule", nearest.RULES)
def test_similarities_to_centroids_of_norm_one_stay_within_one(rule):
    rows = np.random.default_rng(0).normal(size=(500, 96))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    assert nearest.Nearest(rows, rule)(rows).similarity.max() == 1
    for centroid, row in zip(rows[:50], rows[:50], strict=True):
        assert nearest.Nearest(-centroid[None], rule)(row[None]).similarity[0] >= -1
    longer = nearest.Nearest(rows.astype(np.float32) * 1.5, "inner")(rows)
    assert longer.similarity.max() > 1.4, "that is no cosine"
