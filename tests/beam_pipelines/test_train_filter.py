import hashlib
import json
import shutil

import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool


@pytest.fixture
def pairs(tmp_path):
    return make_pool(tmp_path / "pairs", shards=2, rows=30, faults=False)


def test_a_network_is_trained_measured_and_scores_a_pool(winnow, pairs, tiny_network, tmp_path):
    out = tmp_path / "net"
    flags = ["--epochs", "3", "--batch_size", "16", "--holdout_fraction", "0.3", "--model", tiny_network]
    code, stdout, stderr = winnow("train-filter", "--input", f"{pairs}/*.tar", "--output", out, *flags)
    assert code == 0, stderr
    figures = json.loads(stdout)
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(history) == 3
    assert figures["auc"] == history[figures["epoch"]]["auc"]
    card = (out / "MODEL_CARD.md").read_text()
    assert f"{figures['auc']:.3f}" in card
    assert "under random projections" in card
    assert (out / "curves.svg").read_text().startswith("<svg")
    import open_clip

    network, _ = open_clip.create_model_from_pretrained(f"local-dir:{out}")
    assert network.visual.proj.shape == (32, 16)
    code, _, stderr = winnow("score", "--input", f"{pairs}/*.tar", "--output", tmp_path / "o", "--model", f"n={out}")
    assert code == 0, stderr


def test_equal_seeds_give_equal_bytes(winnow, pairs, tiny_network, tmp_path):
    for name in ("a", "b"):
        flags = ["--epochs", "2", "--holdout_fraction", "0.3", "--model", tiny_network]
        assert winnow("train-filter", "--input", f"{pairs}/*.tar", "--output", tmp_path / name, *flags)[0] == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_whole_towers_learn(winnow, pairs, tiny_network, tmp_path):
    flags = ["--train", "towers", "--epochs", "2", "--batch_size", "8", "--learning_rate", "1e-3"]
    flags += ["--holdout_fraction", "0.3", "--model", tiny_network]
    code, _, stderr = winnow("train-filter", "--input", f"{pairs}/*.tar", "--output", tmp_path / "net", *flags)
    assert code == 0, stderr
    history = [json.loads(line) for line in (tmp_path / "net/metrics.jsonl").read_text().splitlines()]
    assert history[1]["train_loss"] < history[0]["train_loss"]
    from safetensors.torch import load_file

    before = load_file(tiny_network / "open_clip_model.safetensors")
    after = load_file(tmp_path / "net/open_clip_model.safetensors")
    assert all(not (before[name] == after[name]).all() for name in ("visual.proj", "token_embedding.weight"))


def test_a_moved_network_with_its_own_text_tower_still_scores(winnow, pairs, tmp_path):
    out = tmp_path / "net"
    flags = ["--epochs", "1", "--holdout_fraction", "0.3", "--model", "tinyclip"]
    assert winnow("train-filter", "--input", f"{pairs}/*.tar", "--output", out, *flags)[0] == 0
    moved = out.rename(tmp_path / "moved")
    code, _, stderr = winnow("score", "--input", f"{pairs}/*.tar", "--output", tmp_path / "o", "--model", f"n={moved}")
    assert code == 0, stderr


def test_a_network_that_was_trained_is_trained_further(winnow, pairs, tmp_path):
    flags = ["--input", f"{pairs}/*.tar", "--epochs", "1", "--holdout_fraction", "0.3"]
    for name, model in (("one", "tinyclip"), ("two", tmp_path / "one"), ("three", tmp_path / "two")):
        code, _, stderr = winnow("train-filter", *flags, "--output", tmp_path / name, "--model", model)
        assert code == 0, stderr
    shutil.rmtree(tmp_path / "one")
    shutil.rmtree(tmp_path / "two")
    last = (tmp_path / "three").rename(tmp_path / "moved")
    args = ("--input", f"{pairs}/*.tar", "--output", tmp_path / "o", "--model", f"n={last}")
    code, _, stderr = winnow("score", *args)
    assert code == 0, stderr


def test_a_network_of_timm_cannot_be_trained(winnow, pairs, tmp_path):
    import timm
    import torch

    weights = tmp_path / "w.pth"
    torch.save(timm.create_model("test_vit").state_dict(), weights)
    model = f"timm:test_vit@{weights}#sha256={hashlib.sha256(weights.read_bytes()).hexdigest()}"
    code, _, stderr = winnow("train-filter", "--input", f"{pairs}/*.tar", "--output", tmp_path / "o", "--model", model)
    assert code == 2
    assert "has no text tower, so there is nothing to train it with" in stderr


def test_every_problem_is_told_at_once(winnow, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    code, _, stderr = winnow(
        "train-filter", "--input", tmp_path / "none.tar", "--output", tmp_path / "full", "--train", "heads",
        "--holdout_fraction", "1", "--epochs", "0", "--learning_rate", "0", "--runner", "DirectRunner",
    )  # fmt: skip
    assert code == 2
    for expected in ("matches no file", "exists and is not empty", "projections or towers", "in (0, 1)", "--epochs",
                     "--learning_rate", "train-filter runs none; leave it out"):  # fmt: skip
        assert expected in stderr


def test_a_dry_run_trains_nothing(winnow, pairs, tmp_path):
    code, stdout, stderr = winnow(
        "train-filter", "--input", f"{pairs}/*.tar", "--output", tmp_path / "net", "--dry_run"
    )
    assert (code, stderr) == (0, "")
    shown = json.loads(stdout)
    assert (shown["job"], shown["shards"], shown["configuration"]["epochs"]) == ("train-filter", 2, 60)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("model", "expected"), [("ViT-Z", "did you mean"), ("hf-hub:no/no", "download it on a connected machine")]
)
def test_a_model_that_cannot_be_had_is_named(winnow, pairs, tmp_path, model, expected):
    flags = ["--input", f"{pairs}/*.tar", "--output", tmp_path / "net", "--model", model]
    code, _, stderr = winnow("train-filter", *flags)
    assert code == 2
    assert expected in stderr
    assert not (tmp_path / "net").exists()
