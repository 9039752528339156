"""terraform/ parses, is described and validated, and agrees with the package; `make terraform-test` checks the rest."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import hcl2
import pytest
import yaml

from beam_pipelines.cloud import presets, template_metadata
from beam_pipelines.commands import launch

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "terraform"


def bare(value):
    """Returns what python-hcl2 read without the quotes that it keeps."""
    if isinstance(value, dict):
        return {bare(key): bare(one) for key, one in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [bare(one) for one in value]
    return value[1:-1] if isinstance(value, str) and re.fullmatch(r'".*"', value, re.DOTALL) else value


def read(path):
    with path.open() as file:
        return bare(hcl2.load(file))


def blocks(kind, folder=MODULE):
    """Returns name -> body of all variables, or of all outputs."""
    files = [read(path) for path in sorted(folder.glob("*.tf"))]
    return {name: body for made in files for one in made.get(kind, []) for name, body in one.items()}


VARIABLES = blocks("variable")
FREE = {"slim_jobs", "force_destroy", "create_network", "no_output_hours"}  # any value of their type, or checked in use


def test_every_file_parses():
    files = [*MODULE.glob("*.tf"), *MODULE.glob("examples/*/*.tf"), *MODULE.glob("tests/*.hcl")]
    assert len(files) > 12
    for path in files:
        assert read(path), path


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_is_typed_described_and_validated(name):
    body = VARIABLES[name]
    assert body["type"]
    assert body["description"].endswith(".")
    assert body.get("validation") or name in FREE
    for rule in body.get("validation", []):
        assert rule["error_message"].startswith(name)


def test_every_output_is_described():
    assert all(body["description"].endswith(".") for body in blocks("output").values())


@pytest.mark.parametrize("path", [MODULE / "versions.tf", MODULE / "examples/nightly/main.tf"])
def test_versions_are_pinned(path):
    (settings,) = read(path)["terraform"]
    assert settings["required_version"].endswith("< 2.0")
    (providers,) = settings["required_providers"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", one["version"]) for one in providers.values())


def test_the_page_lists_every_variable():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", (MODULE / "README.md").read_text(), re.MULTILINE))
    assert rows == {name: body["description"] for name, body in VARIABLES.items()}


def test_presets_and_jobs_are_those_of_the_package():
    for path in (MODULE / "variables.tf",):
        for names in re.findall(r"contains\(\[([^]]+)\], \w+\.preset\)", path.read_text()):
            assert names.replace('"', "").split(", ") == list(presets.PRESETS)
    assert set(VARIABLES["slim_jobs"]["default"]) <= set(template_metadata.template_jobs())


@pytest.mark.parametrize("job", template_metadata.template_jobs())
def test_the_command_that_is_printed_for_a_job_has_the_flags_that_it_needs(job, capsys):
    """`make terraform-test` runs the printed commands whole; this their flags after --, without terraform."""
    (flags,) = [one["example_flags"] for one in read(MODULE / "outputs.tf")["locals"]]
    before = [
        "--project",
        "my-project",
        "--region",
        "us-central1",
        "--template",
        f"gs://my-bucket/templates/{job}.json",
    ]
    after = ["--", "--output", "gs://my-bucket/run", *shlex.split(flags.get(job, ""))]
    assert launch.main([job, *before, "--print", "json", *after]) == 0, capsys.readouterr().err


def test_a_skipped_finding_has_a_reason():
    skips = re.findall(r"checkov:skip=(\w+)(?:: *(.*))?", "".join(path.read_text() for path in MODULE.rglob("*.tf")))
    assert len(skips) > 4
    assert all(len(reason) > 15 for _, reason in skips)


def flow_of(steps):
    """Yields (name, step) of every step of a workflow, those inside loops and retries included."""
    for one in steps:
        ((name, step),) = one.items()
        yield name, step
        yield from flow_of(step.get("for", {}).get("steps", []))


def test_the_chain_is_a_workflow_whose_jumps_and_calls_lead_somewhere():
    flows = yaml.safe_load((MODULE / "workflows/chain.yaml").read_text())
    assert flows["main"]["params"] == ["args"]
    for body in flows.values():
        steps = dict(flow_of(body["steps"]))
        for step in steps.values():
            targets = [branch["next"] for branch in step.get("switch", [])] + ([step["next"]] if "next" in step else [])
            assert set(targets) <= set(steps)
            call = step.get("call", step.get("try", {}).get("call"))
            if call in flows:
                assert sorted(step["args"]) == sorted(flows[call]["params"])
            else:
                assert call in (None, "http.post", "http.get", "sys.sleep")


def test_the_days_of_a_chain_are_those_of_its_zone_or_of_the_date_it_is_given():
    (begin, *_) = yaml.safe_load((MODULE / "workflows/chain.yaml").read_text())["main"]["steps"]
    said = {name: text for one in begin["begin"]["assign"] for name, text in one.items()}
    assert 'map.get(args, "time_zone")' in said["zone"]
    assert 'map.get(args, "date")' in said["today"]
    assert "time.format(sys.now(), zone)" in said["today"]
    assert "today" in said["yesterday"]
    assert "sys.now" not in said["yesterday"]


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_is_formatted():
    done = subprocess.run(["terraform", "fmt", "-check", "-recursive", str(MODULE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
