"""The records of jobs agree with the modules, the counters and the examples that they speak of."""

import ast
import dataclasses
import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.commands import listing
from beam_pipelines.config.base import Flags
from beam_pipelines.config.jobs import COMMANDS, COUNTERS, JOBS
from beam_pipelines.config.records import Listing
from beam_pipelines.running import options

ROOT = Path(__file__).parents[3]
ENTRIES = {"cli", "template"}  # they start jobs and are none


def counted():
    """Yields the namespace of every counter in the stages and in the work on shards."""
    for path in (ROOT / "transforms").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Metrics.counter":
                yield ast.literal_eval(node.args[0])


def test_every_module_of_the_folder_is_a_job_or_a_command():
    top = ROOT / "beam_pipelines"
    modules = {f"beam_pipelines.{path.stem}" for path in top.glob("[!_]*.py")}
    modules |= {f"beam_pipelines.commands.{path.stem}" for path in (top / "commands").glob("[!_]*.py")}
    records = {record.module for record in (*JOBS.values(), *COMMANDS.values())}
    assert modules - {f"beam_pipelines.{name}" for name in ENTRIES} == records


def test_no_name_is_taken_twice():
    assert not set(JOBS) & set(COMMANDS)
    assert all(name == record.name for name, record in {**JOBS, **COMMANDS}.items())


def test_each_counter_of_a_worker_is_in_the_record_of_a_job():
    assert set(counted()) == COUNTERS


@pytest.mark.parametrize("job", JOBS.values(), ids=lambda job: job.name)
def test_a_record_is_whole(job):
    assert issubclass(job.settings, Flags)
    assert importlib.util.find_spec(job.module)
    assert job.sentence[0].isupper()
    assert job.sentence[-1] == "."
    assert job.pipeline or not (job.template or job.counters)


@pytest.mark.parametrize("job", JOBS.values(), ids=lambda job: job.name)
def test_an_example_is_a_request_without_problems(job):
    program, name, *args = shlex.split(job.example)
    assert (program, name) == ("winnow", job.name)
    parsed = options.parse(name, args)
    assert (parsed.problems, parsed.beam_args) == ([], [])


def test_a_job_alone_shares_its_flags_with_no_other():
    """Two records with one settings class would be one job under two names."""
    assert len({job.settings for job in JOBS.values()}) == len(JOBS)
    assert all(dataclasses.is_dataclass(job.settings) for job in JOBS.values())


def test_a_listing_has_no_flags_and_is_given_its_name():
    assert {command.name for command in COMMANDS.values() if isinstance(command, Listing)} == set(listing.LISTS)


def test_the_records_import_nothing_heavy():
    code = "import sys, beam_pipelines.config.jobs; print({'torch', 'apache_beam', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
