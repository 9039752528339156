"""Jobs as functions do what the command does, and raise what it prints."""

import json

import pytest

import winnow as api
from tests import python_flags
from tests.beam_pipelines.files import digests


def test_the_flags_of_the_functions_are_those_of_the_command():
    assert python_flags.PATH.read_text() == python_flags.text(), "run `make templates`"


def test_a_job_in_python_writes_what_the_command_writes(winnow, small_pool, tiny_network, tmp_path, capsys):
    flags = {"input": [f"{small_pool}/*.tar"], "model": [f"net={tiny_network}"]}
    capsys.readouterr()
    scored = api.score(output=tmp_path / "a", quiet=True, **flags)
    selected = api.select(output=tmp_path / "a", keep_fraction=0.5, max_reject_fraction=0.5, quiet=True)
    reshard = api.reshard(output=tmp_path / "a", samples_per_shard=10, max_reject_fraction=0.5, quiet=True)
    assert capsys.readouterr().out == ""
    pool = ("--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}")
    few = ("--output", tmp_path / "b", "--max_reject_fraction", "0.5")
    assert winnow("score", *pool, *few[:2])[0] == 0
    code, stdout, _ = winnow("select", *few, "--keep_fraction", "0.5")
    assert code == 0
    assert winnow("reshard", *few, "--samples_per_shard", "10")[0] == 0
    told = json.loads(stdout)
    assert selected.values["kept"] == told["kept"] > 0
    assert selected.values["selection"] == told["selection"]
    assert scored.output == str(tmp_path / "a")
    assert reshard.values["shards"] == str(tmp_path / "a/shards")
    ours, others = (digests(tmp_path / name / "shards") for name in "ab")
    assert ours == others
    assert ours


def test_every_problem_is_in_one_error(tmp_path, capsys):
    with pytest.raises(api.ConfigError) as caught:
        api.curate(output=tmp_path / "out", keep_fraction=2, sed=1)
    lines = "\n".join(caught.value.problems)
    for part in ("--input is missing", "--keep_fraction must be in (0, 1], got 2", "--sed", "did you mean --seed?"):
        assert part in lines
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr().out == ""


def test_a_job_that_fails_raises(small_pool, tmp_path, tiny_network):
    with pytest.raises(api.CurationError, match="max_reject_fraction") as caught:
        api.curate(
            input=f"{small_pool}/*.tar", output=tmp_path / "out", model=f"net={tiny_network}", recipe="clip_score",
            max_reject_fraction=0, quiet=True,
        )  # fmt: skip
    assert not isinstance(caught.value, api.ConfigError)


def test_a_dry_run_returns_the_plan(small_pool, tmp_path, tiny_network):
    planned = api.score(input=f"{small_pool}/*.tar", output=tmp_path / "out", model=f"net={tiny_network}", dry_run=True)
    assert planned.values["configuration"]["output"] == str(tmp_path / "out")
    assert not (tmp_path / "out").exists()
