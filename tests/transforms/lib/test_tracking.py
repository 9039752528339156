"""Numbers of a run as the program reads them that draws them."""

import math

import pytest

from transforms.lib import tracking


def test_tensorboard_reads_the_numbers_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spec = f"tensorboard:{tmp_path}"
    assert tracking.problems(spec) == []
    with tracking.open_tracker(spec, "train-filter") as tracker:
        for step, loss in enumerate([2.0, 1.0, math.inf]):
            tracker.log(step, "train/loss", loss)
        tracker.log(7, "valid/recall", 0.5)
    read = EventAccumulator(str(tmp_path / "train-filter")).Reload()
    assert [(one.step, one.value) for one in read.Scalars("train/loss")] == [(0, 2.0), (1, 1.0), (2, math.inf)]
    assert [(one.step, one.value) for one in read.Scalars("valid/recall")] == [(7, 0.5)]


def test_a_run_without_the_flag_tracks_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tracking.problems("") == []
    with tracking.open_tracker("", "run") as tracker:
        tracker.log(0, "train/loss", 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("tensorbord:runs", "--track tensorbord:runs is unknown; write tensorboard:FOLDER"),
        ("tensorboard", "--track tensorboard is unknown; write tensorboard:FOLDER"),
        ("tensorboard:gs://b/runs", "--track tensorboard:gs://b/runs: TensorBoard's writer needs a folder of this"),
    ],
)
def test_a_wrong_value_is_named_with_its_cure(spec, line):
    (found,) = tracking.problems(spec)
    assert found.startswith(line)


def test_books_become_numbers_with_slashes():
    books = {"samples": 7, "selection": "ab", "dropped": {"band": 2}, "rejected": {}, "tar": {"read": 5}, "kept": 5}
    assert tracking.numbers_of(books) == {"books/samples": 7, "books/dropped/band": 2, "books/kept": 5}
