"""Templates, flags and documents say the same, and Dataflow's own description allows them."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from beam_pipelines import template
from beam_pipelines.cloud import discovery, template_metadata
from beam_pipelines.cloud.config import StoreConfig
from beam_pipelines.config.base import flags_of
from beam_pipelines.config.jobs import JOBS
from beam_pipelines.running.options import parser_of

ROOT = Path(__file__).parents[2]
RUN_FLAGS = {
    "help",
    "preset",
    "layout",
    "dry_run",
    "quiet",
    "verbose",
    "log_file",
    "track",
}  # about a run on this machine, not about the job


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_the_committed_file_is_what_the_flags_give(job):
    assert (ROOT / "templates" / job / "metadata.json").read_text() == template_metadata.as_text(job), (
        "run `make templates`"
    )


def test_terraform_reads_the_presets_that_launch_uses():
    assert (ROOT / "templates/presets.json").read_text() == template_metadata.presets_text(), "run `make templates`"


def test_there_is_a_template_of_every_job_that_runs_on_dataflow_and_of_no_other():
    folders = {path.parent.name for path in ROOT.glob("templates/*/metadata.json")}
    assert folders == {name for name, job in JOBS.items() if job.template}


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_parameters_flags_fields_and_page_are_one_set(job):
    document = json.loads((ROOT / "templates" / job / "metadata.json").read_text())
    names = [form["name"] for form in document["parameters"]]
    assert len(names) == len(set(names))
    flags = {action.dest for action in parser_of(job)._actions} - RUN_FLAGS
    fields = {field.name for field in dataclasses.fields(JOBS[job].settings)}
    section = (ROOT / "docs/cli.md").read_text().split(f"## winnow {job}\n")[1].split("\n## ")[0]
    page = set(re.findall(r"^\| `--(\w+)` \|", section, re.MULTILINE)) - RUN_FLAGS
    assert set(names) - {"job", *flags_of(StoreConfig)} == flags == fields == page
    assert set(flags_of(StoreConfig)) < set(names)


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_dataflow_allows_it(job):
    assert discovery.problems(template_metadata.metadata(job), "TemplateMetadata") == []


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_what_is_required_is_what_the_job_misses(job):
    config = JOBS[job].settings
    required = {form["name"] for form in template_metadata.metadata(job)["parameters"] if not form["isOptional"]} - {
        "job"
    }
    values = {name: {"columns": "caption"}.get(name, "x") for name in required}
    given = {name: (text,) if isinstance(getattr(config(), name), tuple) else text for name, text in values.items()}
    assert config(**given).problems() == []
    for name in required:
        assert config(**{k: v for k, v in given.items() if k != name}).problems()


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_a_regex_allows_the_default_and_refuses_nonsense(job):
    for form in template_metadata.metadata(job)["parameters"]:
        (regex,) = form["regexes"]
        if "defaultValue" in form:
            assert re.search(regex, form["defaultValue"]), form["name"]
        if form["paramType"] in ("NUMBER", "BOOLEAN", "ENUM"):
            assert not re.search(regex, "1 2 nonsense"), form["name"]
        assert not re.search(regex, "")


def test_a_number_that_cannot_be_negative_takes_no_sign():
    forms = {form["name"]: form for form in template_metadata.metadata("train-filter")["parameters"]}
    signs = {
        name: re.search(form["regexes"][0], "-1") is not None
        for name, form in forms.items()
        if "NUM" in form["paramType"]
    }
    assert not signs["epochs"]
    assert signs["noise"]


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_an_output_is_offered_where_it_may_be(job):
    (form,) = [form for form in template_metadata.metadata(job)["parameters"] if form["name"] == "output"]
    for scheme in ("gs", "s3"):
        allowed = re.search(form["regexes"][0], f"{scheme}://my-bucket/out") is not None
        assert allowed == (f"{scheme}://" in form["helpText"])
    assert "local" not in form["helpText"]  # a worker's disk is gone with it


def test_a_missing_required_field_and_an_unknown_one_are_found():
    broken = template_metadata.metadata("score")
    del broken["parameters"][1]["helpText"]
    broken["parameters"][2]["paramType"] = "FOLDER"
    broken["colour"] = "red"
    problems = discovery.problems(broken, "TemplateMetadata")
    assert [line.split()[0] for line in problems] == [
        "$.parameters[1].helpText", "$.parameters[2].paramType", "$.colour",
    ]  # fmt: skip


def test_parameters_become_flags():
    flags = template.job_flags(
        "score",
        ["--input=gs://b/{a,b}.tar|gs://c/*.tar", "--output=gs://b/o=1", "--caption_field=", "--batch_size=4",
         "--runner=DataflowRunner", "--experiments=worker_accelerator=type:nvidia-l4;count:1", "--flag_of_no_one=1"],
    )  # fmt: skip
    assert flags == [
        "--input=gs://b/{a,b}.tar", "--input=gs://c/*.tar", "--output=gs://b/o=1", "--batch_size=4",
        "--runner=DataflowRunner", "--experiments=worker_accelerator=type:nvidia-l4;count:1",
    ]  # fmt: skip


def test_a_template_runs_its_job(small_pool, tiny_network, tmp_path, capsys):
    out = tmp_path / "out"
    inputs = template_metadata.SEPARATOR.join(str(path) for path in sorted(small_pool.glob("*.tar")))
    args = [f"--input={inputs}", f"--output={out}", f"--model=tiny={tiny_network}", "--runner=DirectRunner"]
    assert template.main(["--job=score", *args]) == 0
    assert len(list((out / "columns/tiny").glob("*.parquet"))) == 3


@pytest.mark.parametrize("args", [[], ["--job=verify"], ["--job=score", "--job=select"]])
def test_a_template_without_its_job_says_so(args, capsys):
    assert template.main(args) == 2
    assert "--job=NAME" in capsys.readouterr().err
