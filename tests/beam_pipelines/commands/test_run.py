"""``winnow run``: all jobs of a curation from one file, checked as a whole, resumed, and summed up."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool

ROOT = Path(__file__).parents[3]
RECIPE = {
    "name": "distinct",
    "steps": [
        {"drop_duplicates": {"column": "dedup_exact"}},
        {"top_fraction": {"column": "score", "fraction": 0.5, "of": "pool"}},
    ],
}


@pytest.fixture
def curation(tmp_path, tiny_network):
    """Returns a function that writes a file of jobs over a pool of two shards."""
    make_pool(tmp_path / "pool", shards=2, faults=False)
    (tmp_path / "distinct.yaml").write_text(yaml.safe_dump(RECIPE))

    def write(*jobs, **shared):
        usual = {"input": f"{tmp_path}/pool/*.tar", "output": str(tmp_path / "out"), "model": f"net={tiny_network}"}
        path = tmp_path / "curation.yaml"
        path.write_text(yaml.safe_dump({"shared": {**usual, **shared}, "jobs": list(jobs)}, sort_keys=False))
        return path

    return write


def select(tmp_path, **flags):
    return {"select": {"recipe": str(tmp_path / "distinct.yaml"), **flags}}


def states(stdout):
    return {job["job"]: job["skipped"] for job in json.loads(stdout)["jobs"]}


def test_the_example_of_the_docs_runs_and_its_jobs_are_done_once(winnow, tmp_path, monkeypatch):
    for name in ("demo", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    assert (ROOT / "demo/curation.yaml").read_text().partition("shared:")[2].strip() in plain(ROOT / "docs/run.md")
    code, stdout, stderr = winnow("run", "demo/curation.yaml")
    assert code == 0, stderr
    jobs = {job["job"]: job for job in json.loads(stdout)["jobs"]}
    assert [*jobs] == ["score", "dedup", "select", "reshard", "verify"]
    assert jobs["select"]["kept"] == jobs["reshard"]["copies"] == jobs["verify"]["samples"] == 356
    assert jobs["dedup"]["duplicates"] == 12
    assert "5 of 5 jobs are done" in stderr
    before = digests(tmp_path / "out")
    code, stdout, stderr = winnow("run", "demo/curation.yaml")
    assert code == 0
    assert all(states(stdout).values())
    assert digests(tmp_path / "out") == before


def plain(path):
    """Returns the block of YAML in a page without the remarks in it."""
    block = path.read_text().partition("```yaml\nshared:")[2].partition("```")[0]
    return "\n".join(line.partition(" # ")[0] for line in block.splitlines())


def test_columns_that_the_file_lacks_are_made_on_the_way(winnow, curation, tmp_path):
    code, stdout, stderr = winnow("run", curation(select(tmp_path)))
    assert code == 0, stderr
    assert states(stdout) == {"score": False, "select": False}
    assert "first, winnow dedup" in stderr
    assert (tmp_path / "out/columns/dedup_exact").is_dir()
    assert json.loads(stdout)["jobs"][1]["kept"] == 16


def test_select_makes_columns_without_a_file(winnow, small_pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    winnow("score", "--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    (tmp_path / "distinct.yaml").write_text(yaml.safe_dump(RECIPE))
    flags = ["select", "--output", out, "--recipe", tmp_path / "distinct.yaml", "--max_reject_fraction", "0.2"]
    code, _, stderr = winnow(*flags)
    assert code == 2
    assert "no column set has 'dedup_exact" in stderr
    code, _, stderr = winnow(*flags, "--make_columns")
    assert code == 0, stderr
    code, _, stderr = winnow("select", "--output", out, "--recipe", "negclip_normsim", "--make_columns")
    assert code == 2
    assert "normsim_inf cannot be made by itself" in stderr
    assert "--target FILE" in stderr
    assert not (out / "columns/negclip").exists()


def test_every_problem_is_told_with_its_line_before_any_work(winnow, curation, tmp_path):
    path = curation(
        {"score": {"batch_size": -1}}, select(tmp_path, keep_fraction=5.0), {"reshard": {"samples_per_shrd": 3}},
        check="wrong",
    )  # fmt: skip
    code, stdout, stderr = winnow("run", path)
    assert (code, stdout) == (2, "")
    lines = path.read_text().splitlines()
    for text, message in (
        ("batch_size", "score: --batch_size must be"),
        ("keep_fraction", "select: --keep_fraction must be in (0, 1], got 5.0"),
        ("samples_per_shrd", "did you mean --samples_per_shard?"),
        ("check", "reshard: --check must be content or headers"),
    ):
        number = next(number for number, line in enumerate(lines, 1) if text in line)
        assert any(f"line {number}: " in line and message in line for line in stderr.splitlines()), (text, stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("jobs: []", "a file of jobs is a YAML mapping"),
        ("- score", "a file of jobs is a YAML mapping"),
        ("jobs:\n  - scroe: {}", "line 2: there is no job 'scroe'; did you mean score?"),
        ("jobs:\n  - score: {a: 1}\n    select: {}", "line 2: a job is written as `- score: {flag: value}`"),
        ("job: 1\njobs: [verify]", "line 1: 'job' is unknown; did you mean jobs?"),
        ("shared: {seed: 1}\njobs: [verify]", "line 1: no job of the file has --seed; leave it out"),
        ("jobs:\n  - verify: {output: [a, b]}", "line 2: verify: output must be one value"),
        ("jobs:\n  - verify: {dry_run: true}", "--dry_run is a flag of `winnow run` itself"),
        ("jobs: [verify", "unusable YAML: line 1"),
        ("jobs:\n  - verify: {output: a, output: b}", "line 2: 'output' is given twice"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_one_line_each(winnow, tmp_path, text, line):
    (tmp_path / "jobs.yaml").write_text(text)
    code, stdout, stderr = winnow("run", tmp_path / "jobs.yaml")
    assert (code, stdout) == (2, "")
    assert line in stderr
    assert "Traceback" not in stderr


def test_no_file_is_told_with_its_cure(winnow, tmp_path):
    assert "name a file of jobs" in winnow("run")[2]
    assert "none.yaml does not exist; docs/run.md shows" in winnow("run", tmp_path / "none.yaml")[2]


def test_a_column_that_nobody_makes_is_refused_before_any_work(winnow, curation, tmp_path):
    code, _, stderr = winnow("run", curation("score", {"select": {"recipe": "mflyt"}}))
    assert code == 2
    assert "select: no job can make 'clip_b32' by itself: score with that network under this name" in stderr
    assert not (tmp_path / "out").exists()


def test_a_shard_that_is_missing_is_told_before_any_work(winnow, curation, tmp_path):
    shutil.rmtree(tmp_path / "pool")
    path = curation("score", select(tmp_path))
    code, _, stderr = winnow("run", path)
    assert code == 2
    assert "line 2: score: --input" in stderr
    assert "matches no file" in stderr


def test_what_changed_is_done_again_and_all_jobs_after_it(winnow, curation, tmp_path):
    jobs = ["score", select(tmp_path, keep_fraction=0.5), {"reshard": {"samples_per_shard": 5}}]
    path = curation(*jobs)
    assert winnow("run", path)[0] == 0
    jobs[1] = select(tmp_path, keep_fraction=0.25)
    code, stdout, _ = winnow("run", curation(*jobs))
    assert (code, states(stdout)) == (0, {"score": True, "select": False, "reshard": False})
    winnow("select", "--output", tmp_path / "out", "--recipe", "clip_score")  # behind the back of the file
    code, stdout, _ = winnow("run", path)
    assert states(stdout) == {"score": True, "select": False, "reshard": False}
    make_pool(tmp_path / "pool", shards=3, faults=False)
    code, stdout, _ = winnow("run", path)
    assert (code, states(stdout)) == (0, {"score": False, "select": False, "reshard": False})


def test_a_job_that_fails_ends_the_run_and_the_next_one_goes_on(winnow, curation, tmp_path, tiny_network):
    make_pool(tmp_path / "pool", shards=2, faults=True)
    path = curation("score", select(tmp_path), {"reshard": {"samples_per_shard": 5}})
    code, stdout, stderr = winnow("run", path)
    assert (code, stdout) == (1, "")
    assert "winnow run: 1 of 3 jobs are done" in stderr
    assert "run the same command again" in stderr
    more = {"max_reject_fraction": 0.5}
    jobs = ["score", select(tmp_path, **more), {"reshard": {"samples_per_shard": 5, **more}}]
    code, stdout, _ = winnow("run", curation(*jobs))
    assert (code, states(stdout)) == (0, {"score": True, "select": False, "reshard": False})


def test_print_gives_commands_that_do_the_same(winnow, curation, tmp_path):
    path = curation(select(tmp_path, set={"top_fraction.fraction": 0.25}), "verify")
    code, stdout, _ = winnow("run", path, "--print")
    assert code == 0
    assert not (tmp_path / "out").exists()
    commands = stdout.splitlines()
    assert [line.split()[1] for line in commands] == ["score", "select", "verify"]
    assert "--set=top_fraction.fraction=0.25" in commands[1]
    code, stdout, _ = winnow("run", path, "--dry_run")
    assert (code, [job["done"] for job in json.loads(stdout)["jobs"]]) == (0, [False, False, False])
