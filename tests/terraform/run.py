"""Checks terraform/ with the real binary, without a cloud and without the provider, which no package registry has.

python -m tests.terraform.run       (`make terraform-test`)

1. terraform fmt, validate, test: against the provider's published schema (`schemas.py`, `provider.py`).
2. terraform plan of examples/nightly; every request and template in it is checked by Google's description of the API.
3. A broken configuration is refused, so that the schema is known to check.
4. checkov, with no finding but those that are skipped with a reason.

Needs terraform and npm; downloads some 150 MB of packages from npm and PyPI into the cache, once.
"""

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

from beam_pipelines.cloud import discovery
from beam_pipelines.commands import launch

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "winnow" / "terraform"
TYPINGS = "@cdktf/provider-google@16.12.1"  # of provider 6.50.0, the one that versions.tf pins
TYPINGS_SHA256 = "c13e11596542ffb7412d5f4caa9376525fbef88d18cdedac03c9b3c392a1fc80"
PACKAGES = {"provider": ["tf==1.2.0", "msgpack==1.2.4"], "checkov": ["checkov==3.3.30"]}
DIGEST = "sha256:" + "1" * 64
VARIABLES = {
    "project": "my-project", "crawl_bucket": "crawl", "alert_email": "ada@example.com",
    "billing_account": "012345-6789AB-CDEF01",
    "worker_image": f"us-central1-docker.pkg.dev/my-project/winnow/worker@{DIGEST}",
    "launcher_image": f"us-central1-docker.pkg.dev/my-project/winnow/launcher@{DIGEST}",
}  # fmt: skip
BROKEN = """
resource "google_storage_bucket" "a" {
  name = "a"
  size = 3
}
resource "google_cloud_scheduler_job" "b" {
  name        = "b"
  retry_config { retry_count = "often" }
}
"""


def run(*words, cwd=MODULE, env=None, check=True):
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")
    return done


def environment_of(name):
    """Returns the python of an environment with pinned packages, made once."""
    folder = CACHE / f"{name}-{hashlib.sha256(' '.join(PACKAGES[name]).encode()).hexdigest()[:12]}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        run(folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES[name])
        (folder / "ready").touch()
    return folder / "bin/python"


def typings():
    """Returns the folder of the provider's typings, fetched once and checked."""
    folder = CACHE / "typings"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run("npm", "pack", "--silent", TYPINGS, cwd=folder)
        (packed,) = folder.glob("*.tgz")
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
        if found != TYPINGS_SHA256:
            sys.exit(f"{TYPINGS} has sha256 {found}, not {TYPINGS_SHA256}")
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        (folder / "ready").touch()
    return folder / "package" / "lib"


def settings(folder):
    """Returns the environment in which Terraform finds the provider that knows the schema."""
    text = "".join(f.read_text() for f in MODULE.glob("*.tf"))
    used = {
        name if kind == "resource" else f"data.{name}"
        for kind, name in re.findall(r'^(resource|data) "(google_\w+)"', text, re.MULTILINE)
    }
    made = run(sys.executable, "-m", "tests.terraform.schemas", typings(), *sorted(used), cwd=ROOT).stdout
    (folder / "schema.json").write_text(made)
    program = folder / "bin" / "terraform-provider-google"
    program.parent.mkdir()
    code = ROOT / "tests/terraform/provider.py"
    program.write_text(f'#!/bin/sh\nexec "{environment_of("provider")}" "{code}" "{folder}/schema.json"\n')
    program.chmod(0o755)
    overrides = f'dev_overrides {{\n    "hashicorp/google" = "{program.parent}"\n  }}\n  direct {{}}'
    (folder / "rc").write_text(f"provider_installation {{\n  {overrides}\n}}\n")
    return {
        **os.environ, "TF_CLI_CONFIG_FILE": str(folder / "rc"), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1",
        "TF_DATA_DIR": str(folder / "data"),
    }  # fmt: skip


def planned(folder, env):
    """Returns the planned values of every resource of examples/nightly, address -> values, and what is printed."""
    example = MODULE / "examples/nightly"
    given = [f"-var={name}={value}" for name, value in VARIABLES.items()]
    run("terraform", "get", cwd=example, env=env)
    run(
        "terraform",
        "plan",
        "-input=false",
        *given,
        f"-state={folder}/state",
        f"-out={folder}/plan",
        cwd=example,
        env=env,
    )
    shown = json.loads(run("terraform", "show", "-json", folder / "plan", cwd=example, env=env).stdout)
    (module,) = shown["planned_values"]["root_module"]["child_modules"]
    printed = shown["planned_values"]["outputs"]["launch_commands"]["value"]
    return {one["address"]: one["values"] for one in module["resources"]}, printed


def check_requests(resources):
    """Checks every request and template of a plan by the discovery document; returns how many there are."""
    checked = 0
    for address, values in resources.items():
        wrong = []
        if ".google_storage_bucket_object.template" in address:
            wrong = discovery.problems(json.loads(values["content"]), "ContainerSpec")
        elif ".google_cloud_scheduler_job." in address:
            body = json.loads(base64.b64decode(values["http_target"][0]["body"]))
            steps = json.loads(body["argument"])["steps"] if "argument" in body else [body["launchParameter"]]
            wrong = [line for step in steps for line in discovery.problems(step, "LaunchFlexTemplateParameter")]
        else:
            continue
        checked += 1
        if wrong:
            sys.exit(f"{address}: {wrong}")
    return checked


def check_commands(commands):
    """Checks that `winnow launch` takes every command that is printed; returns how many there are."""
    for job, command in commands.items():
        words = shlex.split(command)
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            at = words.index("--")
            code = launch.main([*words[2:at], "--print", "json", *words[at:]])
        if words[:2] != ["winnow", "launch"] or code:
            sys.exit(f"{job}: {command}\n{told.getvalue()}")
    return len(commands)


def check_broken(folder, env):
    """Checks that unknown, missing and mistyped arguments are found."""
    broken = folder / "broken"
    broken.mkdir()
    (broken / "main.tf").write_text((MODULE / "versions.tf").read_text() + BROKEN)
    told = run("terraform", "validate", "-no-color", cwd=broken, env=env, check=False)
    for line in ('"location" is required', '"size" is not expected', "a number is required"):
        if line not in told.stderr:
            sys.exit(f"the schema does not find: {line}\n{told.stderr}")


def main():
    for program in ("terraform", "npm"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is not installed: terraform/ cannot be checked")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = settings(folder)
        print(run("terraform", "version").stdout.splitlines()[0], "; provider schema:", TYPINGS)
        run("terraform", "fmt", "-check", "-recursive")
        run("terraform", "validate", env=env)
        print("fmt, validate: clean")
        told = run("terraform", "test", "-no-color", env=env).stdout
        print("test:", told.strip().splitlines()[-1])
        check_broken(folder, env)
        print("a broken configuration is refused")
        resources, commands = planned(folder, env)
        print(f"winnow launch takes {check_commands(commands)} printed commands")
        print(
            f"plan of examples/nightly: {len(resources)} resources, {check_requests(resources)} requests and templates"
        )
    scan = environment_of("checkov").parent / "checkov"
    told = run(scan, "-d", MODULE, "--framework", "terraform", "--skip-download", "--compact", "-o", "json").stdout
    summary = json.loads(told)["summary"]
    print("checkov: {passed} passed, {failed} failed, {skipped} skipped with a reason".format(**summary))


if __name__ == "__main__":
    main()
