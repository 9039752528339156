"""The wheel holds the three packages with their data and nothing else, and installs a working command."""

import re
import shlex
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True).split()
    for name in listed:
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_packages_and_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"beam_pipelines", "transforms", "winnow"}
    for name in (
        "beam_pipelines/recipes/dfn.yaml", "beam_pipelines/demo_pool/00000.tar", "transforms/lib/report/report.html.j2",
        "transforms/lib/report/curves.svg.j2", "winnow/py.typed",
        *(f"transforms/lib/models/tinyclip_data/{file}"
          for file in ("projections.safetensors", "open_clip_config.json", "MODEL_CARD.md")),
    ):  # fmt: skip
        assert name in names


def test_an_installed_wheel_gives_a_working_command(wheel, tmp_path):
    """In an environment of its own, away from the checkout; the packages it needs are those of this one."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    purelib = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    paths = [path for path in sys.path if path.endswith("site-packages")]
    Path(purelib, "deps.pth").write_text("\n".join(path for path in paths if path != sysconfig.get_path("purelib")))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True)
    winnow = tmp_path / "env/bin/winnow"
    code = "import beam_pipelines; print(beam_pipelines.__file__)"
    assert str(tmp_path) in subprocess.check_output([python, "-c", code], text=True, cwd=tmp_path)
    assert "jobs:" in subprocess.check_output([winnow, "--help"], text=True, cwd=tmp_path)
    assert "dfn" in subprocess.check_output([winnow, "recipes"], text=True, cwd=tmp_path)
    pool = ROOT / "tests/data/pool/00000.tar"
    told = subprocess.run(
        [winnow, "curate", "--input", pool, "--output", "out", "--dry_run"],
        text=True,
        cwd=tmp_path,
        capture_output=True,
    )
    assert told.returncode == 0, told.stderr
    assert '"to_score": 1' in told.stdout
    (tmp_path / "empty").mkdir()
    shown = subprocess.run([winnow, "demo", "--no_open"], text=True, cwd=tmp_path / "empty", capture_output=True)
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"20 of the 62 samples .* the filter dropped 20 of them", shown.stderr)
    lines = [line.strip().split("    ")[0] for line in shown.stderr.splitlines() if line.startswith("  winnow ")]
    assert len(lines) == 3
    for line in lines:
        done = subprocess.run([winnow, *shlex.split(line)[1:]], text=True, cwd=tmp_path / "empty", capture_output=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert (tmp_path / "empty/winnow-demo/report.html").exists()


def test_the_lock_files_pin_every_package_by_hash():
    import re

    for name in ("base.txt", "dev.txt", "docs.txt", "loaders.txt", "tfio.txt"):
        text = (ROOT / "requirements" / name).read_text()
        blocks = re.split(r"\n(?=\S)", text.strip())
        assert len(blocks) > 40
        for block in blocks:
            assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==", block), block[:80]
            assert "--hash=sha256:" in block
    base = dict(re.findall(r"^(\S+?)==(\S+)", (ROOT / "requirements/base.txt").read_text(), re.MULTILINE))
    dev = dict(re.findall(r"^(\S+?)==(\S+)", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE))
    assert base.items() <= dev.items()
    loaders = dict(re.findall(r"^(\S+?)==(\S+)", (ROOT / "requirements/loaders.txt").read_text(), re.MULTILINE))
    assert {name: dev.get(name, version) for name, version in loaders.items()} == loaders
