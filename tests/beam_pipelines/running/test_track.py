"""``--track``: TensorBoard reads back what the job printed and what its books say."""

import json

import pytest

from beam_pipelines.running import track


@pytest.fixture
def scalars():
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder):
        found = EventAccumulator(str(folder)).Reload()
        return {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}

    return read


def test_the_numbers_of_a_selection_reach_tensorboard(winnow, small_pool, tiny_network, tmp_path, scalars):
    pool = ("--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}", "--output", tmp_path / "out")
    flags = ("--keep_fraction", 0.5, "--max_reject_fraction", 0.5, "--track", f"tensorboard:{tmp_path}/runs")
    code, stdout, stderr = winnow("curate", *pool, *flags)
    assert code == 0, stderr
    told = json.loads(stdout)
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name == f"curate-{told['selection']}"
    found = scalars(run)
    assert found["job/kept"] == found["books/kept"] == [(0, told["kept"])]
    assert found["books/dropped/top_fraction"] == [(0, told["samples"] - told["kept"] - 4)]
    assert found["counters/score.images_scored"] == [(0, told["counters"]["score.images_scored"])]


def test_a_training_is_a_curve(tmp_path, scalars):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0, "loss": 2.0}\n{"epoch": 1, "loss": 1.5, "note": "x"}\n')
    track.record(f"tensorboard:{tmp_path}/runs", "train-filter", {"output": str(tmp_path), "auc": 0.75})
    found = scalars(tmp_path / "runs/train-filter")
    assert found == {"train/loss": [(0, 2.0), (1, 1.5)], "job/auc": [(0, 0.75)]}


def test_a_wrong_value_is_named_before_any_work(winnow, tmp_path):
    code, _, stderr = winnow("select", "--output", tmp_path / "none", "--track", "wandb")
    assert code == 2
    assert "--track wandb is unknown; write tensorboard:FOLDER" in stderr
