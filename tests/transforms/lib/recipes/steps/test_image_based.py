"""image_based against DataComp's rule in plain numpy."""

import numpy as np
import pytest

from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.recipes import parse, recipe
from transforms.lib.recipes.steps.image_based import ImageBased


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def pool(tmp_path):
    """Returns (rows, centroids, target, paths); the centroids are not normalised, so that the two rules differ."""
    chance = np.random.default_rng(2)
    rows = unit(chance.normal(size=(400, 8))).astype(np.float16)
    centroids = (unit(chance.normal(size=(30, 8))) * chance.uniform(0.3, 1, (30, 1))).astype(np.float32)
    target = unit(chance.normal(size=(9, 8))).astype(np.float16)
    np.save(tmp_path / "centroids.npy", centroids)
    np.save(tmp_path / "target.npy", target)
    return rows, centroids, target, tmp_path


def block(rows, files, **columns):
    valid = np.ones(len(rows), bool)
    valid[3] = False
    return Block("s", {"image": rows, **columns}, valid, valid.astype(np.uint16), files)


def test_the_nearest_by_inner_product_decides(pool):
    rows, centroids, target, folder = pool
    files = {"b.centroids": str(folder / "centroids.npy"), "b.targets": str(folder / "target.npy")}
    step = ImageBased("b", centroids="c", targets="t")
    step.check_files(files)
    decided = recipe.decide([step], block(rows, files), [None])
    near = (rows.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(1)
    hits = set((target.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(1).tolist())
    expected = np.isin(near, list(hits))
    expected[3] = False
    assert np.array_equal(decided.copies > 0, expected)
    by_distance = ((rows[:, None].astype(np.float64) - centroids) ** 2).sum(2).argmin(1)
    assert not np.array_equal(np.isin(by_distance, list(hits))[expected], expected[expected])
    inside = decided.copies > 0
    assert (decided.margin[inside] >= 0).all()
    assert (decided.margin[~inside & (np.arange(400) != 3)] <= 0).all()


def test_a_column_of_clusters_decides_alike(pool):
    rows, centroids, target, folder = pool
    ids = np.unique((target.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(1)).astype(np.int32)
    np.save(folder / "ids.npy", ids)
    near = (rows.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(1).astype(np.int32)
    files = {"b.centroids": str(folder / "centroids.npy"), "b.targets": str(folder / "ids.npy")}
    columns = {"c.cluster": near, "c.margin": np.ones(400, np.float32)}
    one = recipe.decide([ImageBased("b", clusters="c")], block(rows, files, **columns), [None])
    other = recipe.decide([ImageBased("b", centroids="c", targets="t")], block(rows, files), [None])
    assert np.array_equal(one.copies, other.copies)


def test_embeddings_that_are_not_numbers_are_dropped(pool):
    rows, _, _, folder = pool
    rows[5] = np.nan
    files = {"b.centroids": str(folder / "centroids.npy"), "b.targets": str(folder / "target.npy")}
    decided = recipe.decide([ImageBased("b", centroids="c", targets="t")], block(rows, files), [None])
    assert decided.copies[5] == 0


def test_files_are_those_of_the_cluster_job_unless_named():
    step = ImageBased("b", clusters="net_k9")
    assert step.named_files("out/") == {
        "b.centroids": "out/clusters/net_k9/centroids.safetensors",
        "b.targets": "out/clusters/net_k9/target_clusters.npy",
    }
    assert ImageBased("b", centroids="c", targets="t").named_files("out") == {"b.centroids": "c", "b.targets": "t"}
    assert "winnow cluster --name net_k9" in step.hint("net_k9.cluster")


def test_what_is_wrong(pool):
    _, _, _, folder = pool
    with pytest.raises(ConfigError, match=r"image_based\.centroids is missing.*\n.*image_based\.targets is missing"):
        parse.parse({"steps": [{"image_based": {}}]})
    np.save(folder / "wide.npy", np.ones((2, 9), np.float32) / 3)
    np.save(folder / "far.npy", np.array([99]))
    np.save(folder / "below.npy", np.array([-1]))
    (folder / "text.npy").write_text("no array")
    step = ImageBased("b", centroids="c", targets="t")
    for name, words in (
        ("wide", "has 9 dimensions, the centroids 8"), ("far", "names cluster 99, but there are 30"),
        ("below", "names cluster -1"), ("text", "is no .npy"), ("none", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            step.check_files({"b.centroids": str(folder / "centroids.npy"), "b.targets": str(folder / f"{name}.npy")})
