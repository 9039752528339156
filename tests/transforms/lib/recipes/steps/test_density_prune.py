"""Density-based pruning and balance against plain sorts, scipy and a numpy of their own."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import CapacityError, EmptyPoolError, InputError
from transforms.lib.recipes import recipe
from transforms.lib.recipes.clusters import quotas
from transforms.lib.recipes.contract import state_json
from transforms.lib.recipes.steps.balance import Balance
from transforms.lib.recipes.steps.density_prune import DensityPrune


def block(name, cluster, similarity, ids, path=None, label="p"):
    similarity = np.array(similarity, np.float32)
    valid = np.isfinite(similarity)
    columns = {
        "c.cluster": np.where(valid, np.array(cluster, np.int32), -1).astype(np.int32),
        "c.similarity": similarity,
        "uid": uids.pairs([f"{i:032x}" for i in ids]),
    }
    files = {f"{label}.centroids": str(path)} if path else {}
    return Block(name, columns, valid, valid.astype(np.uint16), files)


def ranked(blocks, prefer, seed):
    """Returns cluster -> (shard, row) of its samples, those to keep first."""
    found = {}
    for b in blocks:
        shard = int.from_bytes(hashlib.sha256(b.shard.encode()).digest()[:8], "little")
        hashes = uids.keyed_hash(b.columns["uid"], seed).tolist()
        for row in np.flatnonzero(b.valid).tolist():
            value = float(b.columns["c.similarity"][row])
            key = {"hard": value, "easy": -value, "random": 0}[prefer]
            cluster = int(b.columns["c.cluster"][row])
            found.setdefault(cluster, []).append((key, hashes[row], shard, row, b.shard))
    return {cluster: [(r[4], r[3]) for r in sorted(rows)] for cluster, rows in found.items()}


def kept(step, blocks):
    fitted = oracles.fit([step], blocks)
    decided = {b.shard: recipe.decide([step], b, fitted) for b in blocks}
    rows = {(name, row) for name, d in decided.items() for row in np.flatnonzero(d.copies).tolist()}
    return rows, decided, fitted[0]


@st.composite
def pools(draw):
    """Shards of few clusters, many ties, sometimes few uids."""
    similarity = st.sampled_from([0.25, 0.5, 0.5000001, -0.5, 0.0, float("nan")])
    ids = st.integers(0, draw(st.sampled_from([2, 10**9])))
    rows = st.lists(st.tuples(st.integers(0, 3), similarity, ids), max_size=40)
    return [
        block(f"s{n}", *(list(v) for v in zip(*draw(rows.filter(len)), strict=True)))
        for n in range(draw(st.integers(1, 4)))
    ]


@settings(max_examples=150)
@given(pools(), st.integers(1, 7), st.sampled_from(["hard", "easy", "random"]), st.integers(0, 2), st.randoms())
def test_a_cap_is_a_sort_of_each_cluster(blocks, cap, prefer, seed, chance):
    step = Balance("p", clusters="c", cap=cap, prefer=prefer, seed=seed)
    chance.shuffle(blocks)
    if not any(b.valid.any() for b in blocks):
        with pytest.raises(EmptyPoolError, match="no sample with a cluster is left"):
            oracles.fit([step], blocks)
        return
    rows, decided, _ = kept(step, blocks)
    assert rows == {row for found in ranked(blocks, prefer, seed).values() for row in found[:cap]}
    for b in blocks:
        inside = decided[b.shard].copies > 0
        assert (decided[b.shard].margin[inside] >= 0).all()
        assert (decided[b.shard].margin[b.valid & ~inside] <= 0).all()


def test_a_million_equal_samples_are_cut_exactly():
    blocks = [block("a", [0] * 700 + [1] * 50, [0.5] * 750, range(750)), block("b", [0] * 300, [0.5] * 300, [7] * 300)]
    rows, _, state = kept(Balance("p", clusters="c", cap=333, prefer="hard"), blocks)
    assert len(rows) == 333 + 50
    assert rows == {row for found in ranked(blocks, "hard", 0).values() for row in found[:333]}
    assert state.cuts.done


def test_rounds_that_find_nothing_are_idle():
    step = Balance("p", clusters="c", cap=5, prefer="hard")
    b = block("a", [0] * 20, np.linspace(0, 1, 20), range(20))
    state, read = step.start(), []
    for _ in range(step.rounds):
        needs = step.needs(state)
        read.append(needs)
        state = step.solve(state, step.summarise(b, state) if needs else None)
    assert [len(needs) for needs in read] == [2, 2, 2, 2, 2, 0, 0, 0]
    assert all("uid" not in needs for needs in read)


def test_a_state_can_be_written_down():
    blocks = [block("a", [0] * 70 + [1] * 50, [0.5] * 120, range(120))]
    step = Balance("p", clusters="c", cap=33, prefer="hard")
    rows, _, state = kept(step, blocks)
    again = state_json.of_json(json.loads(json.dumps(state_json.to_json(state))))
    decided = recipe.decide([step], blocks[0], [again])
    assert {("a", row) for row in np.flatnonzero(decided.copies).tolist()} == rows


@pytest.mark.parametrize("seed", range(8))
def test_quotas_solve_the_quadratic_program(seed):
    from scipy.optimize import LinearConstraint, brentq, minimize

    chance = np.random.default_rng(seed)
    k = 25
    high = chance.integers(0, 400, k)
    low = np.clip(np.minimum(chance.integers(0, 30), high - 1), 0, None)
    total = int(chance.integers(low.sum(), high.sum() + 1))
    wanted = chance.dirichlet(np.full(k, 0.3)) * total
    found = quotas.fill(wanted, total, low, high)
    scale = max(total, 1)
    theirs = minimize(
        lambda x: ((x - wanted / scale) ** 2).sum() / 2,
        np.clip(wanted / scale, low / scale, high / scale),
        jac=lambda x: x - wanted / scale,
        bounds=list(zip(low / scale, high / scale, strict=True)),
        constraints=[LinearConstraint(np.ones((1, k)), 1 if total else 0, 1 if total else 0)],
        method="SLSQP",
        options={"ftol": 1e-18, "maxiter": 2000},
    )
    np.testing.assert_allclose(found / scale, theirs.x, atol=1e-6)
    level = brentq(lambda level: np.clip(wanted + level, low, high).sum() - total, -1e5, 1e5, xtol=1e-12)
    np.testing.assert_allclose(found, np.clip(wanted + level, low, high), atol=1e-6)
    whole = quotas.quotas(wanted, total, low, high)
    assert whole.sum() == total
    assert ((low <= whole) & (whole <= high)).all()
    assert (np.abs(whole - found) < 1 + 1e-6).all()


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 100)), min_size=1, max_size=12),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_quotas_meet_every_admissible_total(clusters, share, least):
    high = np.array([size for size, _ in clusters])
    low = np.clip(np.minimum(least, high - 1), 0, None)
    total = int(low.sum() + round(share * (high.sum() - low.sum())))
    found = quotas.quotas(np.array([w for _, w in clusters]), total, low, high)
    assert found.sum() == total
    assert ((low <= found) & (found <= high)).all()


def test_quotas_in_plain_cases():
    equal = quotas.quotas(np.full(4, 25.0), 100, np.ones(4, int), np.full(4, 90))
    assert equal.tolist() == [25] * 4
    full = quotas.quotas(np.array([70.0, 15.0, 15.0]), 100, np.ones(3, int), np.array([20, 80, 80]))
    assert full.tolist() == [20, 40, 40]
    water = quotas.quotas(np.zeros(3), 10, np.zeros(3, int), np.array([2, 9, 9]))
    assert water.tolist() == [2, 4, 4]
    with pytest.raises(CapacityError, match=r"11 lies outside 0 \.\. 10"):
        quotas.quotas(np.zeros(1), 11, np.zeros(1, int), np.array([10]))


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make_clusters(tmp_path, k=9, n=900, dim=12, seed=0):
    """Returns (blocks, centroids, rows, cluster, path) of unit rows in spherical clusters, two shards."""
    chance = np.random.default_rng(seed)
    centroids = unit(chance.normal(size=(k, dim))).astype(np.float32)
    spread = chance.uniform(0.1, 0.9, k)
    cluster = chance.choice(k, n, p=chance.dirichlet(np.full(k, 2.0)))
    rows = unit(centroids[cluster] + spread[cluster, None] * unit(chance.normal(size=(n, dim))))
    cluster = (rows @ centroids.T).argmax(1)
    similarity = (rows * centroids[cluster]).sum(1).astype(np.float32)
    path = tmp_path / "centroids.npy"
    np.save(path, centroids)
    cut = n // 3
    parts = [slice(0, cut), slice(cut, n)]
    blocks = [block(f"s{i}", cluster[p], similarity[p], range(p.start, p.stop), path) for i, p in enumerate(parts)]
    return blocks, centroids, similarity, cluster, path


def dbp(centroids, similarity, cluster, total, tau, neighbours, balance=0.0):
    """Density-based pruning as its paper and code say it, with bisection for the program: sizes to keep."""
    k = len(centroids)
    sizes = np.bincount(cluster, minlength=k)
    distance = 1 - centroids.astype(np.float64) @ centroids.T.astype(np.float64)
    np.fill_diagonal(distance, np.inf)
    inter = np.sort(distance, axis=1)[:, : min(neighbours, k - 1)].mean(1)
    intra = np.array([np.mean(1 - similarity[cluster == j].astype(np.float64)) for j in range(k)])
    odds = np.exp(intra * inter / tau)
    wanted = odds / odds.sum() * total
    least = int(total / k * balance) if balance > 0 else 1
    low = np.minimum(least, sizes - 1)
    down, up = -1e7, 1e7
    for _ in range(200):
        level = (down + up) / 2
        down, up = (level, up) if np.clip(wanted + level, low, sizes).sum() < total else (down, level)
    exact = np.clip(wanted + down, low, sizes)
    whole = np.floor(exact + 1e-9).astype(int)
    for j in np.argsort(-(exact - whole), kind="stable")[: total - whole.sum()]:
        whole[j] += 1
    return whole


@pytest.mark.parametrize(
    ("keep", "tau", "balance"), [(0.25, 0.1, 0.0), (0.25, 0.02, 0.5), (0.7, 0.5, 1.0), (0.9, 0.1, 0)]
)
@pytest.mark.parametrize("prefer", ["hard", "easy", "random"])
def test_density_based_pruning_is_the_papers(tmp_path, keep, tau, balance, prefer):
    blocks, centroids, similarity, cluster, _ = make_clusters(tmp_path)
    step = DensityPrune("p", clusters="c", keep=keep, tau=tau, neighbours=4, balance=balance, prefer=prefer, seed=3)
    rows, _, state = kept(step, blocks)
    total = int(keep * 900 + 0.5)
    sizes = dbp(centroids, similarity, cluster, total, tau, 4, balance)
    assert len(rows) == total == state.keep
    assert state.cuts.quota.tolist() == sizes.tolist()
    assert rows == {row for j, found in ranked(blocks, prefer, 3).items() for row in found[: sizes[j]]}


def test_shares_refer_to_the_pool_or_to_what_is_left(tmp_path):
    blocks, *_ = make_clusters(tmp_path)
    first = Balance("b", clusters="c", keep=0.5)
    for of, expected in (("pool", 225), ("remaining", 113)):
        steps = [first, DensityPrune("p", clusters="c", keep=0.25, of=of)]
        fitted = oracles.fit(steps, blocks)
        assert sum(int((recipe.decide(steps, b, fitted).copies > 0).sum()) for b in blocks) == expected


def test_budgets_that_cannot_be_met(tmp_path):
    blocks, *_ = make_clusters(tmp_path)
    with pytest.raises(CapacityError, match=r"p: the clusters keep 9 samples at least, more than the 1 to keep; raise"):
        oracles.fit([DensityPrune("p", clusters="c", keep=0.001)], blocks)
    steps = [Balance("b", clusters="c", keep=0.1), DensityPrune("p", clusters="c", keep=0.5, of="pool")]
    with pytest.raises(CapacityError, match="p: 450 samples are to be kept and 90 are left; lower keep"):
        oracles.fit(steps, blocks)


def test_clusters_of_one_can_vanish_and_empty_ones_take_no_part(tmp_path):
    path = tmp_path / "c.npy"
    np.save(path, unit(np.random.default_rng(1).normal(size=(6, 5))).astype(np.float32))
    b = block(
        "s", [0] * 10 + [2] + [3] * 10, [*np.linspace(0.1, 0.9, 10), 0.99, *np.linspace(0.4, 0.8, 10)], range(21), path
    )
    _, _, state = kept(DensityPrune("p", clusters="c", keep=0.2, tau=0.01, neighbours=20), [b])
    assert state.cuts.quota.sum() == 4
    assert state.cuts.quota[1] == 0
    alone = block("s", [0] * 8, np.linspace(0, 1, 8), range(8), tmp_path / "one.npy")
    np.save(tmp_path / "one.npy", np.ones((1, 4), np.float32) / 2)
    rows, _, _ = kept(DensityPrune("p", clusters="c", keep=0.5), [alone])
    assert rows == {("s", row) for row in range(4)}


def test_a_cluster_without_a_centroid_is_said(tmp_path):
    blocks, _, _, _, path = make_clusters(tmp_path)
    np.save(path, np.eye(3, dtype=np.float32))
    from transforms.lib.recipes.steps import density_prune

    density_prune._distances.cache_clear()
    with pytest.raises(CapacityError, match="c has cluster 8, its centroids are 3"):
        oracles.fit([DensityPrune("p", clusters="c")], blocks)


def test_centroids_that_lie_together_are_neighbours_of_one_another():
    twice = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(quotas.d_inter(twice, 1), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(quotas.d_inter(twice, 20), [0.5, 0.5, 1], atol=1e-6)
    assert quotas.d_inter(twice[:1], 20).tolist() == [0]


def test_what_is_wrong_with_the_parameters():
    step = DensityPrune("p", keep=0, of="rest", tau=0, neighbours=0, balance=2, prefer="far", seed=-1)
    text = "\n".join(step.problems())
    for name in (
        "clusters is missing",
        "keep must",
        "of must",
        "tau must",
        "neighbours must",
        "balance must",
        "prefer must",
        "seed must",
    ):
        assert f"p.{name}" in text
    assert "needs either cap" in Balance("p", clusters="c").problems()[0]
    assert "needs either cap" in Balance("p", clusters="c", cap=3, keep=0.5).problems()[0]
    assert not Balance("p", clusters="c", cap=3).problems()
    with pytest.raises(InputError, match="does not exist"):
        DensityPrune("p", clusters="c").check_files({"p.centroids": "none.npy"})
