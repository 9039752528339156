"""What a job on Dataflow lacks is named before anything is written, and the runner's name is taken in any case."""

import subprocess
import sys

import pytest

from beam_pipelines.cloud import presets
from beam_pipelines.cloud.template_metadata import template_jobs
from beam_pipelines.running import beam_options, options
from tests.stores import run_with

PLACES = ["--input", "gs://b/pool/*.tar", "--output", "gs://b/out", "--model", "tinyclip"]
CLOUD = ["--runner", "DataflowRunner", "--project", "my-project", "--region", "us-central1"]
STAGED = ["--temp_location", "gs://my-bucket/tmp"]


def problems(*flags, places=PLACES):
    return options.parse("score", [*places, *flags]).problems


def test_all_that_is_missing_is_said_at_once():
    lines = problems("--runner", "dataflowrunner", "--preset", "l4", places=["--input", "a.tar", "--output", "out"])
    for start, line in zip(
        ["--input a.tar is on this machine", "--output out is on this machine", "--project is missing",
         "--region is missing", "--temp_location is missing", "--num_workers is missing; --preset l4 runs without"],
        lines, strict=True,
    ):  # fmt: skip
        assert line.startswith(start)
        assert ";" in line, "a hint"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--temp_location", "/tmp/x"], "--temp_location must be a folder, gs://BUCKET/tmp, got '/tmp/x'"),
        (["--temp_location", "gs://my-bucket"], "--temp_location must be a folder"),
        ([*STAGED, "--staging_location", "s3://b/x"], "--staging_location must be a folder"),
        ([*STAGED, "--project", "My Project"], "--project must be a project's id"),
        ([*STAGED, "--region", "nowhere"], "--region must be a region"),
        ([*STAGED, "--job_name", "My_Job"], "--job_name must be lower-case letters"),
        ([*STAGED, "--num_workers", "0"], "--num_workers must be in 1 .. 1000, got 0"),
        ([*STAGED, "--num_workers", "9", "--max_num_workers", "3"], "--num_workers 9 is more than --max_num_workers 3"),
        ([*STAGED, "--preset", "t4", "--num_workers", "2", "--flexrs_goal", "COST_OPTIMIZED"], "FlexRS has no GPUs"),
    ],
)
def test_what_is_wrong_is_one_line(flags, line):
    (problem,) = problems(*CLOUD, *flags)
    assert line in problem


@pytest.mark.parametrize(
    "flags",
    [
        STAGED,
        ["--staging_location", "gs://my-bucket/staging"],
        [*STAGED, "--preset", "l4", "--num_workers", "20"],
        [*STAGED, "--preset", "l4", "--autoscaling_algorithm", "THROUGHPUT_BASED"],
        [*STAGED, "--preset", "cpu"],
    ],
)
def test_what_is_right_is_let_through(flags):
    assert problems(*CLOUD, *flags) == []


def test_a_template_is_launched_somewhere_else_but_its_workers_are_no_nearer():
    written = ["--runner", "DataflowRunner", "--template_location", "gs://b/job.json"]
    assert problems(*written, *STAGED) == []
    (problem,) = problems(*written, *STAGED, "--input", "more/*.tar")
    assert problem.startswith("--input more/*.tar is on this machine")


def test_another_runner_needs_none_of_it():
    assert problems("--preset", "l4", "--runner", "FnApiRunner", places=["--input", "a.tar", "--output", "o"]) == []


def test_nothing_is_written_and_nobody_is_asked(small_pool, tmp_path):
    """A whole command: it once wrote its first files, and then waited for a bucket that it made up itself."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "beam_pipelines.cli", "score", "--input", f"{small_pool}/*.tar", "--output", out]
    done = subprocess.run(
        [*command, "--runner", "DataflowRunner", "--dry_run"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("is on this machine") == 2
    assert not out.exists()


@pytest.mark.parametrize("name", ["dataflowrunner", "DATAFLOWRUNNER"])
@pytest.mark.parametrize("form", ["{0} {1}", "{0}={1}"])
def test_the_gpu_of_workers_is_not_looked_for_here(name, form):
    assert beam_options.runs_elsewhere(form.format("--runner", name).split())
    assert not beam_options.runs_elsewhere(form.format("--runner", "DirectRunner").split())
    assert not beam_options.runs_elsewhere([])


def test_a_gpu_is_worked_by_a_fixed_number_of_workers_however_it_is_asked_for():
    for name, shape in presets.PRESETS.items():
        launched = presets.environment(name, "")["autoscalingAlgorithm"] == "AUTOSCALING_ALGORITHM_NONE"
        direct = "--autoscaling_algorithm=NONE" in presets.beam_flags(name, "")
        assert launched == direct == bool(shape.accelerator)


def test_jobs_without_a_pipeline_say_that_they_have_none(tmp_path):
    done = run_with(None, "explain", "0" * 32, "--output", tmp_path, "--runner", "DataflowRunner")
    assert "--project" not in done.stderr


def test_every_job_with_a_template_is_looked_at():
    for job in template_jobs():
        lines = options.parse(job, ["--output", "out", "--runner", "DataflowRunner"]).problems
        assert any(line.startswith("--output out is on this machine") for line in lines), job
