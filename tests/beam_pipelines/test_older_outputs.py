"""What Winnow 0.1 wrote is read as it was: ``tests/data/output-0.1`` is an output of it, without its shards."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[1] / "data"
ROOT = DATA.parents[1]


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # its pool is tests/data/pool, as given then
    return shutil.copytree(DATA / "output-0.1", tmp_path / "old")


def test_its_decisions_are_explained(winnow, old):
    kept = np.load(old / "subset.npy")[:3]
    names = [f"{high:016x}{low:016x}" for high, low in kept.tolist()]
    code, stdout, stderr = winnow("explain", *names, "--output", old)
    assert code == 0, stderr
    assert [one["outcome"] for one in json.loads(stdout)["samples"]] == ["kept, 1 copy"] * 3


def test_its_decisions_become_shards_and_a_new_selection_decides_the_same(winnow, old):
    subset, books = (old / "subset.npy").read_bytes(), json.loads((old / "books.json").read_text())
    limit = ("--max_reject_fraction", "0.1")
    assert winnow("reshard", "--output", old, "--samples_per_shard", "100")[0] == 0
    before = (old / "shards/00000000.tar").read_bytes()
    code, stdout, stderr = winnow("select", "--output", old, "--recipe", "dfn", "--keep_fraction", "0.5", *limit)
    assert code == 0, stderr
    assert (old / "subset.npy").read_bytes() == subset
    now = json.loads((old / "books.json").read_text())
    assert (now.pop("selection"), now) == (json.loads(stdout)["selection"], books)
    assert (old / "decisions").is_symlink(), "the older decisions are gone"
    assert winnow("reshard", "--output", old, "--samples_per_shard", "100")[0] == 0
    assert (old / "shards/00000000.tar").read_bytes() == before
