import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.lib.flyt import scoring_head


def write_head(folder, dim=16, seed=0, column_set="m", **embeddings):
    folder.mkdir()
    config = scoring_head.HeadConfig(dim, 1, column_set, embeddings)
    generator = torch.Generator().manual_seed(seed)
    scoring_head.save(folder, scoring_head.start(config, cosine=True, generator=generator), config)
    return folder


@pytest.fixture
def scored(winnow, small_pool, tiny_network, tmp_path):
    code, _, stderr = winnow(
        "score", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"m={tiny_network}"
    )
    assert code == 0, stderr
    return tmp_path / "out"


def test_a_head_scores_what_is_stored_and_touches_no_image(winnow, scored, small_pool, tmp_path):
    for tar in small_pool.glob("*.tar"):
        tar.unlink()
    head = write_head(tmp_path / "head")
    code, stdout, stderr = winnow("score-flyt", "--output", scored, "--head", head)
    assert code == 0, stderr
    assert json.loads(stdout)["counters"]["score.shards_scored"] == 3
    params = {name: value.double().numpy() for name, value in scoring_head.load(head, "x").items()}
    for shard in range(3):
        index, source, ours = (
            pq.read_table(scored / f"columns/{name}/{shard:05d}.parquet") for name in ("index", "m", "flyt")
        )
        x = np.array([a + b for a, b in zip(source["image"].to_pylist(), source["text"].to_pylist(), strict=True)])
        gate, value = (x @ params[f"{w}.weight"].T + params[f"{w}.bias"] for w in ("w1", "w3"))
        expected = (gate / (1 + np.exp(-gate)) * value) @ params["w2.weight"][0] + params["w2.bias"]
        valid = np.array(index["status"].to_pylist()) == "ok"
        found = ours["score"].to_numpy()
        np.testing.assert_allclose(found[valid], expected[valid], atol=1e-5)
        assert np.isnan(found[~valid]).all()
        assert valid.sum() > 10
    manifest = json.loads((scored / "manifest.json").read_text())
    assert len(manifest["score-flyt.flyt"]["outputs"]) == 3


def test_finished_shards_are_skipped_and_another_head_replaces_them(winnow, scored, tmp_path):
    head, other = write_head(tmp_path / "head"), write_head(tmp_path / "other", seed=1)
    assert winnow("score-flyt", "--output", scored, "--head", head)[0] == 0
    before = digests(scored)
    (scored / "columns/flyt/00001.parquet").unlink()
    _, stdout, _ = winnow("score-flyt", "--output", scored, "--head", head)
    counters = json.loads(stdout)["counters"]
    assert (counters["score.shards_scored"], counters["score.shards_skipped"]) == (1, 2)
    assert digests(scored) == before
    _, stdout, _ = winnow("score-flyt", "--output", scored, "--head", other)
    assert json.loads(stdout)["counters"]["score.shards_scored"] == 3


def test_a_recipe_selects_by_it(winnow, scored, tmp_path):
    assert winnow("score-flyt", "--output", scored, "--head", write_head(tmp_path / "head"))[0] == 0
    flags = ["--set", "top_fraction.column=flyt.score", "--max_reject_fraction", "1"]
    code, _, stderr = winnow("select", "--output", scored, "--recipe", "clip_score", *flags)
    assert code == 0, stderr


def test_every_problem_is_told_at_once(winnow, scored, small_pool, tmp_path):
    head = write_head(tmp_path / "head", column_set="vit")
    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", head, "--name", "Flyt", "--threads", "-1")
    assert code == 2
    for expected in ("--name 'Flyt'", "--column_set vit", "there are m", "--threads"):
        assert expected in stderr
    code, _, stderr = winnow("score-flyt", "--output", tmp_path / "nothing")
    assert code == 2
    assert "--head is missing" in stderr
    assert "winnow score" in stderr
    strange = write_head(tmp_path / "strange", weights_sha256="0" * 64)
    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", strange, "--name", "m")
    assert code == 2
    assert "score the pool with that model" in stderr
    assert "--name m is a column set that `winnow score` wrote; choose another --name" in stderr
    narrow = write_head(tmp_path / "narrow", dim=8)
    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", narrow)
    assert code == 2
    assert "of 8 dimensions, m has 16" in stderr


def test_a_pool_made_twice_gives_equal_bytes(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool2", shards=2, rows=6, faults=False)
    head = write_head(tmp_path / "head")
    for name in ("a", "b"):
        flags = ["--output", tmp_path / name]
        assert winnow("score", "--input", f"{pool}/*.tar", "--model", f"m={tiny_network}", *flags)[0] == 0
        assert winnow("score-flyt", "--head", head, *flags)[0] == 0
    assert digests(tmp_path / "a/columns/flyt") == digests(tmp_path / "b/columns/flyt")
