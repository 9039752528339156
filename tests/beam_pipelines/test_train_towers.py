"""``winnow train-filter --train towers``: streamed, resumed, in several processes, on several data sets."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool, picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

WEIGHTS = "open_clip_model.safetensors"
NAMES = ("visual.proj", "text_projection", "token_embedding.weight", "visual.conv1.weight", "logit_scale")


@pytest.fixture
def pairs(tmp_path):
    return make_pool(tmp_path / "pairs", shards=4, rows=24, faults=False)


@pytest.fixture
def flags(pairs, tiny_network):
    return ["--train", "towers", "--input", f"{pairs}/*.tar", "--model", str(tiny_network), "--holdout_fraction", "0.3",
            "--batch_size", "8", "--learning_rate", "1e-3", "--threads", "1", "--steps", "12", "--validate_every", "4",
            "--checkpoint_every", "3", "--warmup", "2", "--shuffle_pairs", "16"]  # fmt: skip


def history(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(left, right, start):
    """Both learnt the same: their difference is a small part of what either learnt.

    AdamW moves weights whose gradient is 0 but for rounding, such as the bias of keys, by as much as any other.
    """
    one, other, before = ([load_file(f / WEIGHTS)[name].flatten() for name in NAMES] for f in (left, right, start))
    one, other, before = (torch.cat(each) for each in (one, other, before))
    assert (one - other).norm() < 0.02 * (one - before).norm()


def test_steps_are_taken_validated_and_written(winnow, flags, tiny_network, tmp_path):
    code, stdout, stderr = winnow("train-filter", *flags, "--output", tmp_path / "net")
    assert code == 0, stderr
    rows = history(tmp_path / "net")
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert json.loads(stdout)["auc"] == max(rows, key=lambda row: -row["held_loss"])["auc"]
    assert not (tmp_path / "net/checkpoint.safetensors").exists()
    before = load_file(tiny_network / WEIGHTS)
    assert not (before["visual.proj"] == load_file(tmp_path / "net" / WEIGHTS)["visual.proj"]).all()


def test_a_run_that_was_killed_goes_on_to_the_same_bytes(winnow, flags, tmp_path):
    assert winnow("train-filter", *flags, "--output", tmp_path / "whole")[0] == 0
    out = tmp_path / "cut"
    command = [sys.executable, "-m", "beam_pipelines.cli", "train-filter", *flags, "--output", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (out / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    if process.returncode:  # a quick machine may be done by then
        assert "run the same command again to go on" in said
        assert (out / "checkpoint.safetensors").exists()
        code, _, stderr = winnow("train-filter", *flags, "--output", out)
        assert code == 0, stderr
        assert "going on" in stderr
    assert digests(tmp_path / "whole") == digests(out)


def test_a_checkpoint_of_another_run_is_refused(winnow, flags, tmp_path):
    out = tmp_path / "net"
    assert winnow("train-filter", *flags, "--output", out)[0] == 0
    (tmp_path / "other").mkdir()
    from transforms.lib.training import tower_checkpoint

    state = tower_checkpoint.State(3, [], 0, [], {}, {"a": torch.zeros(1)}, {}, {})
    tower_checkpoint.save(state, tmp_path / "other", "of another")
    code, _, stderr = winnow("train-filter", *flags, "--output", tmp_path / "other")
    assert (code, "holds a run with other settings or data" in stderr) == (2, True), stderr
    (tmp_path / "other/checkpoint.safetensors").write_bytes(b"damaged")
    code, _, stderr = winnow("train-filter", *flags, "--output", tmp_path / "other")
    assert (code, "checkpoint.safetensors is damaged" in stderr) == (2, True), stderr


def test_two_processes_end_where_one_does(winnow, flags, tiny_network, tmp_path):
    assert winnow("train-filter", *flags, "--output", tmp_path / "one")[0] == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m",
               "beam_pipelines.train_filter", *flags, "--output", str(tmp_path / "two")]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    same(tmp_path / "one", tmp_path / "two", tiny_network)
    for one, two in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)


def test_parts_and_accumulation_change_the_memory_and_the_step(winnow, flags, tiny_network, tmp_path):
    for name, more in (("whole", []), ("parts", ["--part_size", "3"])):
        code, _, stderr = winnow("train-filter", *flags, *more, "--output", tmp_path / name)
        assert code == 0, stderr
    same(tmp_path / "whole", tmp_path / "parts", tiny_network)
    more = ["--accumulate", "2", "--precision", "bf16", "--crop_scale", "0.5", "--clip_norm", "1"]
    code, _, stderr = winnow("train-filter", *flags, *more, "--output", tmp_path / "more")
    assert code == 0, stderr


def test_the_start_can_be_kept_in_part(winnow, flags, tiny_network, tmp_path):
    for name, more in (("none", []), ("half", ["--keep_start", "0.5"])):
        assert winnow("train-filter", *flags, *more, "--output", tmp_path / name)[0] == 0
    start, none, half = (
        load_file(f / WEIGHTS)["visual.proj"] for f in (tiny_network, tmp_path / "none", tmp_path / "half")
    )
    torch.testing.assert_close(half, (start + none) / 2)


def class_folders(folder, names, each=12):
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for row in range(each):
            (folder / name / f"{row}.jpg").write_bytes(picture(100 * number + row))
    return folder


def labelled_shard(path, labels):
    members = [(f"{row}.{kind}", data) for row, label in enumerate(labels)
               for kind, data in (("jpg", picture(row)), ("cls", str(label).encode()))]  # fmt: skip
    path.write_bytes(b"".join(write_member(*member) for member in members) + END_OF_ARCHIVE)
    return path


def test_classes_become_captions_beside_a_data_set_with_captions(winnow, flags, tmp_path):
    class_folders(tmp_path / "in1k", ["n01", "n02", "n03"])
    labelled_shard(tmp_path / "more.tar", [0, 1, 2] * 8)
    (tmp_path / "names.txt").write_text("tench\ngoldfish\ngreat white shark\n")
    (tmp_path / "prompts.txt").write_text("a photo of a {}.\na {} somewhere.\n")
    own = [one if not one.endswith(".tar") else f"own={one}" for one in flags]
    more = ["--input", f"in1k={tmp_path}/in1k/*/*.jpg", "--input", f"more={tmp_path}/more.tar", "--weight", "in1k=2"]
    more += ["--caption_from", "in1k=class", "--caption_from", "more=class", "--class_names", tmp_path / "names.txt"]
    more += ["--prompts", tmp_path / "prompts.txt", "--steps", "0", "--epochs", "2", "--validate_every", "0"]
    code, _, stderr = winnow("train-filter", *own, *more, "--output", tmp_path / "net")
    assert code == 0, stderr
    assert len(history(tmp_path / "net")) == 2


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--steps", "0", "--batch_size", "4096"], "is more than the"),
        (["--weight", "coco=2"], "no --input has this name; there are none"),
        (["--weight", "two"], "--weight must be NAME=NUMBER with a number in (0, 1000]"),
        (["--caption_from", "class", "--label_field", "breed"], "has a class (a .cls member"),
        (["--caption_from", "label"], "--caption_from must be text or class"),
        (["--steps", "0", "--warmup", "100000"], "--warmup must be less than the"),
        (["--train", "projections"], "--steps needs --train towers"),
        (["--prompts", "absent.txt"], "--prompts absent.txt cannot be read"),
        (["--class_names", "absent.txt", "--caption_from", "class"], "--class_names absent.txt cannot be read"),
    ],
)
def test_bad_requests_are_refused_in_a_line(winnow, flags, tmp_path, more, expected):
    code, _, stderr = winnow("train-filter", *flags, *more, "--output", tmp_path / "net")
    assert (code, expected in stderr) == (2, True), stderr
    assert not (tmp_path / "net").exists()


def test_a_recipe_fills_in_what_is_not_given(winnow, pairs, tmp_path):
    code, stdout, stderr = winnow(
        "train-filter", "--input", f"{pairs}/*.tar", "--output", tmp_path / "net", "--recipe", "dfn",
        "--batch_size", "4096", "--dry_run",
    )  # fmt: skip
    assert code == 0, stderr
    shown = json.loads(stdout)["configuration"]
    assert (shown["train"], shown["batch_size"], shown["steps"], shown["warmup"]) == ("towers", 4096, 312_500, 2000)
    assert (shown["learning_rate"], shown["weight_decay"]) == (5e-4, 0.2)
