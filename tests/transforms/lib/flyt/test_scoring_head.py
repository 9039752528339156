import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from transforms.lib.errors import InputError
from transforms.lib.flyt import scoring_head


def unit(random, n, dim):
    rows = random.normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def draw(config, seed=0, cosine=True, noise=scoring_head.NOISE):
    return scoring_head.start(config, cosine=cosine, generator=torch.Generator().manual_seed(seed), noise=noise)


def test_the_head_is_the_formula():
    config = scoring_head.HeadConfig(dim=4, hidden_mod=2)
    params = draw(config, cosine=False)
    random = np.random.default_rng(0)
    image, text = unit(random, 9, 4), unit(random, 9, 4)
    x = np.concatenate([image, text], 1).astype(np.float64)
    p = {name: value.double().numpy() for name, value in params.items()}
    a, b = (x @ p[f"{w}.weight"].T + p[f"{w}.bias"] for w in ("w1", "w3"))
    expected = (a / (1 + np.exp(-a)) * b) @ p["w2.weight"][0] + p["w2.bias"]
    assert p["w1.weight"].shape == (16, 8)
    np.testing.assert_allclose(scoring_head.scores(params, image, text), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mod", [1, 3])
def test_it_starts_as_the_cosine(mod):
    random = np.random.default_rng(1)
    image, text = unit(random, 300, 32), unit(random, 300, 32)
    cosine = np.einsum("nd,nd->n", image.astype(np.float64), text.astype(np.float64))
    noisy = scoring_head.scores(draw(scoring_head.HeadConfig(32, mod)), image, text)
    assert 0.95 < np.corrcoef(noisy, cosine)[0, 1] < 0.99999
    exact = scoring_head.scores(draw(scoring_head.HeadConfig(32, mod), noise=0.0), image, text)
    np.testing.assert_allclose(exact, cosine, atol=1e-6)


def test_a_row_is_scored_alike_whatever_stands_beside_it(monkeypatch):
    monkeypatch.setattr(scoring_head, "BATCH", 16)
    random = np.random.default_rng(2)
    image, text = unit(random, 45, 8), unit(random, 45, 8)
    params = draw(scoring_head.HeadConfig(8))
    whole = scoring_head.scores(params, image, text)
    for rows in (slice(3, 4), slice(20, 41), slice(0, 0)):
        np.testing.assert_array_equal(scoring_head.scores(params, image[rows], text[rows]), whole[rows])


def test_its_files_bring_it_back(tmp_path):
    config = scoring_head.HeadConfig(6, 1, "m", {"kind": "folder"})
    params = draw(config)
    scoring_head.save(tmp_path, params, config)
    assert scoring_head.read_config(tmp_path, "x") == config
    assert all(torch.equal(value, params[name]) for name, value in scoring_head.load(tmp_path, "x").items())


WRONG = {"text": {"dim": "16"}, "truth": {"hidden_mod": True}, "kinds": {"column_set": 3, "embeddings": []}}


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("absent", "holds no"),
        ("json", "flyt_head.json is damaged"),
        ("field", "flyt_head.json is damaged"),
        ("text", r"damaged \(dim is '16'\)"),
        ("truth", r"damaged \(hidden_mod is True\)"),
        ("kinds", r"damaged \(column_set is 3, embeddings is \[\]\)"),
        ("list", "flyt_head.json is damaged"),
        ("size", "not of the sizes"),
        ("zero", r"damaged \(dim is 0\)"),
        ("cut", "flyt_head.safetensors is damaged"),
        ("name", "not of the sizes"),
    ],
)
def test_a_damaged_head_is_named(tmp_path, damage, expected):
    config = scoring_head.HeadConfig(6)
    scoring_head.save(tmp_path, draw(config), config)
    weights, told = tmp_path / scoring_head.WEIGHTS, tmp_path / scoring_head.CONFIG
    if damage == "absent":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "name":
        save_file({f"{name}x": value for name, value in load_file(weights).items()}, weights)
    else:
        values = dataclasses.asdict(config)
        values |= {"field": {"width": 3}, "size": {"dim": 5}, "zero": {"dim": 0}, **WRONG}.get(damage, {})
        told.write_text({"json": "{", "list": "[4, 1]"}.get(damage, json.dumps(values)))
    with pytest.raises(InputError, match=expected):
        scoring_head.load(tmp_path, "x")
