"""SemDeDup against a brute-force oracle, pairs by pairs in plain float64."""

import numpy as np
import pytest

from transforms.lib import uids
from transforms.lib.dedup import groups, semdedup

DIM = 12


def crowd(seed, rows, spread=0.25, dim=DIM):
    """Returns float16 unit vectors around a few centres, so that close pairs and chains are many."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(rows // 12, 1), dim))
    made = centres[random.integers(0, len(centres), rows)] + spread * random.normal(size=(rows, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def brute_force(vectors, above, chains):
    """Returns of each row the set of rows of which any may be called what it is a copy of; empty when it stays."""
    wide = vectors.astype(float)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    close = wide @ wide.T > above
    gone, leaders = set(), []
    for j in range(len(wide)):
        if chains == "released" and any(close[i, j] for i in range(j)):
            gone.add(j)
        if chains == "leaders":
            if any(close[i, j] for i in leaders):
                gone.add(j)
            else:
                leaders.append(j)
        if chains == "paper":
            reached, edge = {j}, [j]
            while edge:
                here = edge.pop()
                new = [k for k in range(len(wide)) if k not in reached and close[here, k]]
                edge, reached = edge + new, reached | set(new)
            if min(reached) < j:
                gone.add(j)
    return wide @ wide.T, gone


@pytest.mark.parametrize("chains", semdedup.CHAINS)
@pytest.mark.parametrize("tile", [4, 7, 1024])
@pytest.mark.parametrize("rows", [1, 2, 40, 150])
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.4])
def test_equals_brute_force(monkeypatch, chains, tile, rows, epsilon):
    monkeypatch.setattr(semdedup, "TILE", tile)
    vectors = crowd(rows, rows)
    cosines, gone = brute_force(vectors, 1 - epsilon, chains)
    match, cosine, root = semdedup.matches(
        semdedup.normalised_on_grid(vectors), np.arange(rows), above=1 - epsilon, chains=chains
    )
    assert set(np.flatnonzero(match >= 0)) == gone
    for j in gone:
        assert match[j] < j
        assert cosine[j] == pytest.approx(cosines[match[j], j], abs=1e-5)
        earlier = [i for i in range(j) if chains == "released" or i not in gone]
        if chains != "paper":
            assert cosine[j] == pytest.approx(cosines[earlier, j].max(), abs=1e-5)
        assert root[j] not in gone
        assert root[j] == (root[match[j]] if match[j] in gone else match[j])
    assert all(root[j] == j for j in range(rows) if j not in gone)
    if rows == 150 and epsilon == 0.1:
        assert 20 < len(gone) < 145


def test_results_are_the_same_bytes_for_any_tile(monkeypatch):
    vectors = semdedup.normalised_on_grid(np.repeat(crowd(5, 500), 2, axis=0))
    order = np.random.default_rng(0).permutation(len(vectors))
    found = []
    for tile in (3, 64, 1000, 1024):
        monkeypatch.setattr(semdedup, "TILE", tile)
        monkeypatch.setattr(semdedup, "_DENSE", tile)
        made = semdedup.matches(vectors, order, above=0.9)
        found.append([array.tobytes() for array in made])
    assert all(other == found[0] for other in found)


def chain(order):
    """Returns three rows of which a-b and b-c are close, a-c is not, in an order given as a text."""
    angle = dict(zip("abc", (0.0, 0.3, 0.6), strict=True))
    return np.array([[np.cos(angle[x]), np.sin(angle[x])] for x in order], np.float16)


@pytest.mark.parametrize(
    ("chains", "order", "stay"),
    [
        ("released", "abc", "a"),
        ("paper", "abc", "a"),
        ("leaders", "abc", "ac"),
        ("released", "acb", "ac"),
        ("paper", "acb", "a"),
        ("leaders", "acb", "ac"),
    ],
)
def test_what_becomes_of_a_chain(chains, order, stay):
    vectors = semdedup.normalised_on_grid(chain(order))
    match, _, _ = semdedup.matches(vectors, np.arange(3), above=np.cos(0.4), chains=chains)
    assert "".join(x for x, found in zip(order, match, strict=True) if found < 0) == stay


@pytest.mark.parametrize("chains", semdedup.CHAINS)
def test_earlier_rows_stay_and_remove(monkeypatch, chains):
    monkeypatch.setattr(semdedup, "TILE", 8)
    vectors = crowd(3, 100)
    match, _, _ = semdedup.matches(
        semdedup.normalised_on_grid(vectors), np.arange(100), above=0.9, chains=chains, start=40
    )
    assert (match[:40] < 0).all()
    wide = vectors.astype(float) @ vectors.astype(float).T > 0.9
    assert (match[40:] >= 0)[wide[:40, 40:].any(axis=0)].all()


@pytest.mark.parametrize("chains", semdedup.CHAINS)
def test_identical_vectors_leave_one(monkeypatch, chains):
    monkeypatch.setattr(semdedup, "TILE", 16)
    vectors = np.repeat(crowd(1, 1), 100, axis=0)
    match, cosine, root = semdedup.matches(
        semdedup.normalised_on_grid(vectors), np.arange(100), above=0.999, chains=chains
    )
    assert match.tolist() == [-1, *[0] * 99]
    assert root.tolist() == [0] * 100
    np.testing.assert_allclose(cosine[1:], 1, atol=1e-5)


def test_the_bound_itself_is_no_copy():
    vectors = np.array([[1, 0], [0.6, 0.8]], np.float32)
    grid = np.rint(vectors * 2**20).astype(np.float32) / np.float32(2**20)
    exact = float(grid[1, 0])
    assert len(semdedup.close_pairs(grid, grid, exact, triangle=True)[0]) == 0
    assert len(semdedup.close_pairs(grid, grid, exact - 2**-40, triangle=True)[0]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_cosines_are_exact_on_the_grid(seed):
    grid = semdedup.normalised_on_grid(crowd(seed, 60, dim=96))
    whole = (grid.astype(float) * 2**20).astype(object)
    i, j, cosine = semdedup.close_pairs(grid, grid, 0.5)
    for a, b, value in zip(i, j, cosine, strict=True):
        assert int(np.dot(whole[a], whole[b])) == int(value * 2**40)


def test_only_unit_vectors_are_compared():
    rows = np.array([[1, 0], [0, 0], [np.nan, 1], [np.inf, 0], [3, 0], [0.6, 0.8]], np.float16)
    assert semdedup.unit_rows(rows).tolist() == [True, False, False, False, False, True]


def records(vectors, cluster, order):
    found = np.zeros(len(vectors), semdedup.record_dtype(vectors.shape[1]))
    found["cluster"], found["order"], found["vector"] = cluster, order, vectors
    found["row"], found["shard"] = np.arange(len(vectors)) % 50, np.arange(len(vectors)) // 50
    found["uid"][:, 1] = np.arange(len(vectors)) + 1000
    return found


def test_clusters_are_apart_and_the_order_of_the_records_is_nothing():
    vectors = crowd(9, 200)
    cluster, order = np.arange(200) % 7, np.random.default_rng(1).permutation(200)
    rows = records(vectors, cluster, order)
    settings = {"epsilon": 0.1, "chains": "released", "seed": 0, "fresh": 4}
    shards, found = semdedup.clusters(rows, semdedup.normalised_on_grid(vectors), **settings)
    gone = {50 * s + int(v["row"]) for s, v in zip(shards, found, strict=True) if v["dropped"]}
    expected = set()
    for number in range(7):
        inside = np.flatnonzero(cluster == number)
        inside = inside[np.argsort(order[inside])]
        expected |= {int(inside[j]) for j in brute_force(vectors[inside], 0.9, "released")[1]}
    assert gone == expected
    for s, v in zip(shards, found, strict=True):
        keeper = int(v["keeper"][1]) - 1000
        if v["dropped"]:
            assert cluster[keeper] == cluster[50 * s + int(v["row"])]
    shuffled = np.random.default_rng(2).permutation(200)
    again = semdedup.clusters(rows[shuffled], semdedup.normalised_on_grid(vectors[shuffled]), **settings)
    assert again[0].tobytes() == shards.tobytes()
    assert again[1].tobytes() == found.tobytes()


def test_clusters_of_one_and_of_none_have_no_copies():
    vectors = np.repeat(crowd(1, 1), 6, axis=0)
    rows = records(vectors, np.arange(6), 0)
    for count in (6, 1, 0):
        grid = semdedup.normalised_on_grid(vectors[:count])
        shards, found = semdedup.clusters(rows[:count], grid, epsilon=0.5, chains="paper", seed=0, fresh=9)
        assert len(shards) == len(found) == 0


def test_the_nearest_target_is_found(monkeypatch):
    monkeypatch.setattr(semdedup, "TILE", 16)
    vectors, targets = crowd(1, 90), crowd(1, 50)
    found, cosine = semdedup.nearest(semdedup.normalised_on_grid(vectors), semdedup.normalised_on_grid(targets), 0.85)
    exact = vectors.astype(float) @ targets.astype(float).T
    near = exact.max(axis=1) > 0.85
    assert 0 < near.sum() < 90
    assert (found >= 0).tolist() == near.tolist()
    np.testing.assert_allclose(cosine[near], exact.max(axis=1)[near], atol=2e-3)
    np.testing.assert_array_equal(found[near], exact.argmax(axis=1)[near])


def test_verdicts_name_the_uids(monkeypatch):
    vectors = np.repeat(crowd(1, 1), 3, axis=0)
    shards, found = semdedup.clusters(
        records(vectors, 0, [2, 0, 1]),
        semdedup.normalised_on_grid(vectors),
        epsilon=0.1,
        chains="released",
        seed=0,
        fresh=9,
    )
    made = groups.table(np.ones(4, bool), found).to_pylist()
    survivor = f"{1001:032x}"
    assert [row["duplicate_of"] for row in made] == [survivor, "", survivor, ""]
    assert [row["group"] for row in made] == [survivor] * 3 + [""]
    assert shards.tolist() == [0, 0, 0]
    assert uids.pairs([survivor])[0, 1] == 1001


@pytest.mark.parametrize("chains", semdedup.CHAINS)
def test_similarities_stay_within_one(chains):
    rows = np.random.default_rng(0).normal(size=(400, 96)).astype(np.float16)
    rows = (rows / np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True)).astype(np.float16)
    vectors = semdedup.normalised_on_grid(np.repeat(rows, 2, axis=0))
    match, cosine, root = semdedup.matches(vectors, np.arange(800), above=0.9, chains=chains)
    assert cosine.max() > 1, "rounding takes some above"
    pairs = np.zeros((800, 2), np.uint64)
    found = groups.verdicts(np.arange(800), match >= 0, cosine, pairs[match], pairs[root])
    assert found["similarity"].max() == 1
    assert semdedup.nearest(vectors, vectors, 0.9)[1].max() == 1
