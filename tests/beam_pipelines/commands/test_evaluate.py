"""``winnow evaluate`` on a pool of small pictures: real trainings of a second."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import TINY, make_pool, picture
from transforms.lib.models import clip, resolve

SMALL = ["--samples_seen", "48", "--batch_size", "8", "--warmup", "2", "--threads", "1"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tiny_network):
    from beam_pipelines import cli

    folder = tmp_path_factory.mktemp("evaluate")
    make_pool(folder / "pool", faults=True)
    out = str(folder / "out")
    assert cli.main(["score", "--input", f"{folder}/pool/*.tar", "--output", out, "--model", f"m={tiny_network}"]) == 0
    half = ["select", "--output", out, "--recipe", "random", "--set", "random_fraction.fraction=0.5"]
    half += ["--name", "half", "--max_reject_fraction", "1"]
    assert cli.main(half) == 0
    assert cli.main(["export-subset", "--output", out, "--to", str(folder / "half.npy"), "--selection", "half"]) == 0
    for number, name in enumerate(("red thing", "blue_thing")):
        (folder / "classes" / name).mkdir(parents=True)
        for seed in range(3):
            (folder / "classes" / name / f"{seed}.jpg").write_bytes(picture(10 * number + seed))
    (folder / "prompts.txt").write_text("a {}\n")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    return folder


@pytest.fixture
def evaluate(winnow, scored, tmp_path):
    def run(*args, output=None):
        given = ["--pool", scored / "out", "--model", scored / "tiny.json", "--prompts", scored / "prompts.txt", *SMALL]
        given += ["--classification", f"things={scored}/classes", "--retrieval", f"pool={scored}/pool/00000.tar"]
        return winnow("evaluate", "--output", output or tmp_path / "eval", *given, *args)

    return run


def weights(folder):
    return {path.parts[-3:-1]: path.read_bytes() for path in folder.glob("arms/*/*/*.safetensors")}


def test_arms_are_trained_tested_and_tabulated_and_not_trained_again(evaluate, scored, tmp_path, capsys):
    arms = ["--arm", f"half={scored}/out#half", "--arm", "none=all", "--seeds", "2"]
    code, stdout, stderr = evaluate(*arms)
    assert code == 0, stderr
    out = tmp_path / "eval"
    found = json.loads((out / "evaluation.json").read_text())
    assert [(arm["name"], list(arm["runs"])) for arm in found["arms"]] == [("half", ["0", "1"]), ("none", ["0", "1"])]
    half, none = found["arms"]
    assert 2 * half["pairs"] - none["pairs"] in (-1, 0, 1)
    assert none["copies"] == none["pairs"]
    assert {"things.acc1", "things.mean_per_class_recall", "pool.mrr", "pool.image_retrieval_recall@5"} <= set(
        none["summary"]
    )
    assert json.loads(stdout)["arms"]["none"].keys() == {"things.acc1", "pool.mrr"}
    before = weights(out)
    assert len(before) == 4
    assert len(set(before.values())) == 4
    code, _, stderr = evaluate(*arms, "--seeds", "3")
    assert code == 0
    assert stderr.count("seed 2: ") == 2
    assert {key: data for key, data in weights(out).items() if key in before} == before
    code, _, stderr = evaluate(*arms, output=tmp_path / "again")
    assert weights(tmp_path / "again") == before


def test_a_model_can_score_a_pool(evaluate, scored, tmp_path):
    assert evaluate("--arm", "none=all", "--seeds", "1")[0] == 0
    folder = tmp_path / "eval/arms/none/seed-0"
    spec = resolve.resolve(resolve.parse_model(f"own={folder}"))
    assert clip.load(spec).embed_texts(["a dog"]).shape == (1, TINY["model_cfg"]["embed_dim"])
    assert json.loads((folder / "open_clip_config.json").read_text())["preprocess_cfg"] == TINY["preprocess_cfg"]


def test_a_subset_file_is_the_selection_that_it_was_made_of_and_its_copies_count(evaluate, scored, tmp_path):
    arms = ["--arm", f"half={scored}/out#half", "--arm", f"file={scored}/half.npy", "--seeds", "1"]
    rows = np.load(scored / "half.npy")
    np.save(tmp_path / "twice.npy", np.sort(np.concatenate([rows, rows[:1]])))
    code, _, stderr = evaluate(*arms, "--arm", f"twice={tmp_path}/twice.npy")
    assert code == 0, stderr
    found = json.loads((tmp_path / "eval/evaluation.json").read_text())["arms"]
    assert found[0]["runs"] == found[1]["runs"] != found[2]["runs"]
    assert [(arm["pairs"], arm["copies"]) for arm in found] == [
        (len(rows),) * 2,
        (len(rows),) * 2,
        (len(rows), len(rows) + 1),
    ]


def test_new_evaluation_sets_test_the_models_that_are_there(evaluate, scored, tmp_path):
    assert evaluate("--arm", "none=all", "--seeds", "1")[0] == 0
    before = weights(tmp_path / "eval")
    code, _, stderr = evaluate("--arm", "none=all", "--seeds", "1", "--retrieval", f"other={scored}/pool/00001.tar")
    assert code == 0, stderr
    (arm,) = json.loads((tmp_path / "eval/evaluation.json").read_text())["arms"]
    assert "other.mrr" in arm["summary"]
    assert weights(tmp_path / "eval") == before
    other = tmp_path / "both"
    assert (
        evaluate("--arm", "none=all", "--seeds", "1", "--retrieval", f"other={scored}/pool/00001.tar", output=other)[0]
        == 0
    )
    assert json.loads((other / "evaluation.json").read_text())["arms"][0]["summary"] == arm["summary"]


def test_an_interrupted_training_goes_on_to_the_same_bytes(evaluate, scored, tmp_path):
    out = tmp_path / "stopped"
    long = ["--arm", "none=all", "--seeds", "1", "--samples_seen", "4000", "--checkpoint_every", "1"]
    argv = [sys.executable, "-m", "beam_pipelines.cli", "evaluate", "--output", out, "--pool", scored / "out"]
    argv += ["--model", scored / "tiny.json", "--retrieval", f"pool={scored}/pool/00000.tar"]
    argv += ["--prompts", scored / "prompts.txt", "--classification", f"things={scored}/classes", *SMALL, *long]
    process = subprocess.Popen([str(word) for word in argv], stderr=subprocess.PIPE, text=True, env=os.environ)
    checkpoint = out / "arms/none/seed-0/checkpoint.pt"
    for _ in range(2400):
        if checkpoint.is_file() or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to go on" in stderr
    assert checkpoint.is_file()
    assert not (out / "evaluation.json").exists()
    code, _, stderr = evaluate(*long, output=out)
    assert code == 0, stderr
    assert "continuing" in stderr
    assert evaluate(*long, output=tmp_path / "whole")[0] == 0
    assert weights(out) == weights(tmp_path / "whole")
    assert not checkpoint.exists()


def test_figures_from_elsewhere_stand_in_the_same_table(evaluate, scored, tmp_path):
    line = {"key": "mnist", "dataset": "MNIST", "metrics": {"main_metric": 0.25}}
    (tmp_path / "eval_results.jsonl").write_text(json.dumps(line) + "\n")
    code, _, stderr = evaluate("--arm", "none=all", "--results", f"large={tmp_path}/eval_results.jsonl", "--seeds", "1")
    assert code == 0, stderr
    assert "| large | – | – | 1 | – |" in (tmp_path / "eval/evaluation.md").read_text()


def test_a_hand_off_is_a_script_per_arm_and_seed(winnow, evaluate, scored, tmp_path):
    arms = ["--arm", f"half={scored}/out#half", "--hand_off", "medium", "--gpus", "4"]
    code, _, stderr = evaluate(*arms)
    assert code == 2
    assert "winnow reshard" in stderr
    out = tmp_path / "copy"
    shutil.copytree(scored / "out", out)
    assert (
        winnow(
            "reshard", "--output", out, "--selection", "half", "--samples_per_shard", "5", "--max_reject_fraction", "1"
        )[0]
        == 0
    )
    code, stdout, stderr = evaluate("--arm", f"half={out}#half", "--hand_off", "medium", "--gpus", "4", "--seeds", "2")
    assert code == 0, stderr
    assert json.loads(stdout)["scripts"] == ["half-medium-seed-0.sh", "half-medium-seed-1.sh"]
    text = (tmp_path / "eval/hand-off/half-medium-seed-1.sh").read_text()
    last = sorted((out / "shards").glob("*.tar"))[-1].stem
    assert f"{out}/shards/{{00000000..{last}}}.tar" in text
    assert "--batch-size 1024" in text
    assert "--seed 1" in text
    assert subprocess.run(["sh", "-n", tmp_path / "eval/hand-off/half-medium-seed-1.sh"], check=False).returncode == 0
    assert evaluate("--arm", f"half={out}#half", "--hand_off", "medium", "--gpus", "3")[0] == 2
    most = ["--set", "random_fraction.fraction=0.9", "--name", "most", "--max_reject_fraction", "1"]
    assert winnow("select", "--output", out, "--recipe", "random", *most)[0] == 0
    code, _, stderr = evaluate("--arm", f"most={out}#most", "--hand_off", "medium")
    assert code == 2
    assert "shards/ is stale" in stderr


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (["--arm", "none=all", "--batch_size", "100000", "--samples_seen", "900000"], "fewer than --batch_size 100000"),
        (["--arm", "x={here}/no.npy"], "no such subset file"),
        (["--arm", "x={here}/nowhere"], "holds no scored pool"),
        (["--arm", "x={scored}/out#no"], "no"),
        (["--arm", "none=all", "--prompts", "things={here}/no.txt"], "no.txt cannot be read"),
        (["--arm", "none=all", "--prompts", "{scored}/prompts.txt"], "--prompts is given 2 times for one task"),
        (["--arm", "x={scored}/half.npy", "--batch_size", "32"], "x has 22 pairs, fewer than --batch_size 32"),
        (["--arm", "none=all", "--prompts", "other={scored}/prompts.txt"], "no --classification is of this task"),
        (["--arm", "none=all", "--classification", "flat={scored}/classes/red thing"], "two classes or more"),
        (["--arm", "none=all", "--model", "ViT-B-33"], "no such architecture"),
        (["--arm", "none=all", "--model", "{here}/no.json"], "cannot be read"),
        (["--arm", "none=all", "--retrieval", "x={here}/no.tar"], "matches no file"),
        (["--arm", "none=all", "--arm", "none=all"], "none is given twice"),
        (["--arm", "none=all", "--warmup", "6"], "--warmup must be less than the 6 steps"),
        (["--results", "x={here}/no.jsonl"], "cannot be read"),
        ([], "--arm is missing"),
    ],
)
def test_a_wrong_request_is_refused_before_any_training(evaluate, scored, tmp_path, flags, hint):
    code, stdout, stderr = evaluate(*[flag.format(here=tmp_path, scored=scored) for flag in flags])
    assert code == 2, stderr
    assert hint in stderr
    assert "Traceback" not in stderr
    assert not (tmp_path / "eval/arms").exists()
    assert stdout == ""


def test_models_of_another_architecture_or_training_are_not_continued(evaluate, scored, tmp_path):
    assert evaluate("--arm", "none=all", "--seeds", "1")[0] == 0
    before = weights(tmp_path / "eval")
    for flags in (["--model", "tiny"], ["--samples_seen", "56"]):
        code, _, stderr = evaluate("--arm", "none=all", "--seeds", "1", *flags)
        assert code == 2, stderr
        assert f"{flags[0]} {flags[1]}: the models of --output" in stderr
    code, _, stderr = evaluate("--arm", f"none={scored}/out#half", "--seeds", "1")
    assert code == 2
    assert "another selection" in stderr
    assert weights(tmp_path / "eval") == before


def test_selections_of_different_pools_are_not_compared(winnow, evaluate, scored, tiny_network, tmp_path):
    make_pool(tmp_path / "pool")
    (tmp_path / "pool/00001.tar").unlink()
    out = tmp_path / "out"
    assert winnow("score", "--input", f"{tmp_path}/pool/*.tar", "--output", out, "--model", f"m={tiny_network}")[0] == 0
    assert winnow("select", "--output", out, "--recipe", "no_filter", "--max_reject_fraction", "1")[0] == 0
    code, _, stderr = evaluate("--arm", f"half={scored}/out#half", "--arm", f"other={out}")
    assert code == 2
    assert "different pools" in stderr


def test_a_folder_of_something_else_is_left_alone(evaluate, tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval/mine.txt").write_text("mine")
    code, _, stderr = evaluate("--arm", "none=all")
    assert code == 2
    assert "holds no evaluation" in stderr
