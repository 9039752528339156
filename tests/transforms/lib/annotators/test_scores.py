"""Related scores of embeddings, against their formulas written out."""

import math

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from transforms.lib import uids
from transforms.lib.annotators import clipscore, negclip, target_scores
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError


def unit(seed, rows, dim=8, dtype=np.float16):
    values = np.random.default_rng(seed).normal(size=(rows, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(dtype)


def ids(rows):
    return uids.pairs([f"{row:032x}" for row in range(rows)])


def normalisers(image, text, temperature):
    """R of every pair of a batch, term by term."""
    image, text = image.astype(np.float64), text.astype(np.float64)
    found = []
    for i in range(len(image)):
        to_texts = sum(math.exp(image[i] @ text[j] / temperature) for j in range(len(text)))
        to_images = sum(math.exp(image[j] @ text[i] / temperature) for j in range(len(image)))
        found.append(temperature / 2 * (math.log(to_texts) + math.log(to_images)))
    return np.array(found)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_negclip_of_one_full_batch_is_the_formula(temperature):
    image, text = unit(0, 20), unit(1, 20)
    cosine = (image.astype(np.float64) * text).sum(axis=1)
    found = negclip.negclip(image, text, ids(20), temperature=temperature, batch=20, repeats=3)
    np.testing.assert_allclose(found, cosine - normalisers(image, text, temperature), atol=1e-6)
    assert (found <= 1e-6).all()


def test_rows_of_a_large_batch_are_taken_in_parts(monkeypatch):
    image, text = unit(0, 50), unit(1, 50)
    whole = negclip.penalties(image, text, 0.07, 50)
    monkeypatch.setattr(negclip, "_ROWS", 7)
    np.testing.assert_allclose(negclip.penalties(image, text, 0.07, 50), whole, rtol=1e-6)


def test_negclip_is_the_mean_over_equal_random_batches():
    image, text, rows = unit(2, 23), unit(3, 23), 23
    total = np.zeros(rows)
    for number in range(4):
        order = np.argsort(uids.keyed_hash(ids(rows), 5 + number))
        sizes = [part.size for part in np.array_split(order, 3)]
        assert sizes == [8, 8, 7]
        for part in np.array_split(order, 3):
            f, g = image[part].astype(np.float64), text[part].astype(np.float64)
            for place, row in enumerate(part):
                own = math.exp(f[place] @ g[place] / 0.1)
                others = [j for j in range(len(part)) if j != place]
                scale = 9 / len(others)  # stand for the 9 others of a batch of 10
                to_texts = own + scale * sum(math.exp(f[place] @ g[j] / 0.1) for j in others)
                to_images = own + scale * sum(math.exp(f[j] @ g[place] / 0.1) for j in others)
                total[row] += 0.1 / 2 * (math.log(to_texts) + math.log(to_images))
    expected = (image.astype(np.float64) * text).sum(axis=1) - total / 4
    found = negclip.negclip(image, text, ids(rows), temperature=0.1, batch=10, repeats=4, seed=5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    other = negclip.negclip(image, text, ids(rows), temperature=0.1, batch=10, repeats=4, seed=6)
    assert np.abs(other - found).max() > 1e-4


def test_a_short_batch_stands_for_a_full_one():
    """The score of a tenth of a pool is near that of the pool, not higher by the log of ten."""
    image, text = unit(0, 1000), unit(1, 1000)
    whole = negclip.negclip(image, text, ids(1000), temperature=0.1, batch=1000)
    part = negclip.negclip(image[:100], text[:100], ids(100), temperature=0.1, batch=1000)
    unscaled = negclip.negclip(image[:100], text[:100], ids(100), temperature=0.1, batch=100)
    assert abs((part - whole[:100]).mean()) < 0.03
    assert (unscaled - whole[:100]).mean() > 0.15


def test_the_order_of_rows_does_not_matter_to_negclip():
    image, text, pairs = unit(0, 40), unit(1, 40), ids(40)
    order = np.random.default_rng(0).permutation(40)
    made = {"temperature": 0.05, "batch": 8, "repeats": 3}
    straight = negclip.negclip(image, text, pairs, **made)
    shuffled = negclip.negclip(image[order], text[order], pairs[order], **made)
    np.testing.assert_allclose(shuffled, straight[order], atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_pair_alone_has_no_negclip(rows):
    found = negclip.negclip(unit(0, rows), unit(1, rows), ids(rows))
    assert np.isnan(found).tolist() == [True] * rows


def block_of(image, text, score):
    valid = np.isfinite(score)
    columns = {"net.image": image, "net.text": text, "net.score": score, "uid": ids(len(score))}
    return Block("a", columns, valid, valid.astype(np.uint16))


def test_rejected_rows_have_no_score_and_count_in_no_batch():
    image, text = unit(0, 6), unit(1, 6)
    score = np.array([0.1, np.nan, -0.5, 0.3, np.nan, 1.0], np.float32)
    ok = np.isfinite(score)
    block = block_of(image, text, score)
    found = negclip.NegClip(model="net", batch=4, repeats=2).load(str)(block)["score"].to_numpy()
    expected = negclip.negclip(image[ok], text[ok], ids(6)[ok], batch=4, repeats=2)
    np.testing.assert_array_equal(found[ok], expected)
    assert np.isnan(found[~ok]).all()
    clip = clipscore.ClipScore(model="net").load(str)(block)["score"].to_numpy()
    np.testing.assert_allclose(clip, [0.25, np.nan, 0, 0.75, np.nan, 2.5], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_normsim_and_vas_are_their_formulas(dtype, monkeypatch):
    monkeypatch.setattr(target_scores, "_ROWS", 5)
    image, target = unit(0, 13), unit(1, 17, dtype=dtype)
    products = image.astype(np.float64) @ target.astype(np.float64).T
    moment = target_scores.second_moment(target)
    np.testing.assert_allclose(target_scores.normsim_inf(image, target), np.abs(products).max(axis=1), atol=1e-6)
    two = target_scores.normsim_2(image, moment, 17)
    np.testing.assert_allclose(two, np.sqrt((products**2).sum(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(target_scores.vas(image, moment), (products**2).mean(axis=1), rtol=1e-9)


@pytest.fixture(params=["npy", "safetensors"])
def target(request, tmp_path):
    path, values = str(tmp_path / f"target.{request.param}"), unit(5, 9, dtype=np.float32)
    if request.param == "npy":
        np.save(path, values)
    else:
        save_file({"image": values}, path)
    return path, values


@pytest.mark.parametrize("name", ["normsim_2", "normsim_inf", "vas"])
def test_a_target_file_gives_a_column(target, name):
    path, values = target
    image = unit(0, 4)
    score = np.array([0.1, np.nan, 0.2, 0.3], np.float32)
    made = target_scores.resolve(name, "net", path, str)
    assert made.problems({"net.image": pa.list_(pa.float16(), 8)}) == []
    assert "7 dimensions" not in str(made.made_by())
    found = made.load(str)(block_of(image, unit(1, 4), score))["score"]
    products = image.astype(np.float64) @ values.astype(np.float64).T
    expected = {
        "normsim_2": np.sqrt((products**2).sum(axis=1)),
        "normsim_inf": np.abs(products).max(axis=1),
        "vas": (products**2).mean(axis=1),
    }[name]
    assert found.type == pa.float32()
    np.testing.assert_allclose(found.to_numpy(), np.where(np.isfinite(score), expected, np.nan), rtol=1e-5)
    (problem,) = made.problems({"net.image": pa.list_(pa.float16(), 7)})
    assert "has 8 dimensions, net.image 7" in problem


def test_a_target_that_changes_is_refused(tmp_path):
    path = str(tmp_path / "t.npy")
    np.save(path, unit(0, 3))
    made = target_scores.resolve("vas", "net", path, str)
    np.save(path, unit(1, 3))
    with pytest.raises(InputError, match="changed while the job ran"):
        made.load(str)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.ones((3, 8), np.float32), r"row 0 has norm 2\.828, not 1"),
        (np.full((3, 8), np.nan, np.float32), "row 0 has norm nan"),
        (np.ones(8, np.float32), r"holds float32 \[8\]; it must be float"),
        (np.ones((3, 8), np.int64), r"holds int64 \[3, 8\]"),
        (np.ones((0, 8), np.float32), r"holds float32 \[0, 8\]"),
        (np.array([{}], object), "is neither .npy nor .safetensors"),
    ],
)
def test_a_target_that_cannot_be_used_is_named(tmp_path, values, problem):
    path = str(tmp_path / "t.npy")
    np.save(path, values, allow_pickle=True)
    with pytest.raises(InputError, match=problem):
        target_scores.resolve("vas", "net", path, str)


def test_a_missing_target_is_named(tmp_path):
    with pytest.raises(ConfigError, match="--columns vas needs --target FILE"):
        target_scores.resolve("vas", "net", "", str)
    with pytest.raises(InputError, match=r"none\.npy does not exist"):
        target_scores.resolve("vas", "net", str(tmp_path / "none.npy"), str)
    (tmp_path / "two.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="is neither"):
        target_scores.resolve("vas", "net", str(tmp_path / "two.safetensors"), str)
    save_file({"a": unit(0, 2), "b": unit(1, 2)}, str(tmp_path / "two.safetensors"))
    with pytest.raises(InputError, match="2 tensors"):
        target_scores.resolve("vas", "net", str(tmp_path / "two.safetensors"), str)


def test_normsim_inf_stays_within_one():
    rows = np.random.default_rng(0).normal(size=(300, 96))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    assert (rows.astype(np.float32) ** 2).sum(1).max() > 1
    assert target_scores.normsim_inf(rows, rows).max() == 1
