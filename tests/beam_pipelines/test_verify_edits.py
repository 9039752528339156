"""Every kind of edit of a finished output and of its pool: verify names it, in lines, and never by a traceback."""

import json
import re
import shutil

import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.outputs import sealed_json


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_network):
    """Returns the folder of a pool and of what curate made of it."""
    from beam_pipelines import curate

    folder = tmp_path_factory.mktemp("edits")
    pool = make_pool(folder / "pool", faults=False)
    flags = ["--model", f"net={tiny_network}", "--keep_fraction", "0.5", "--samples_per_shard", "10"]
    assert curate.main(["--input", f"{pool}/*.tar", "--output", str(folder / "out"), *flags]) == 0
    return folder


@pytest.fixture
def finished(made):
    """Gives the folder, and puts back all that the test changes: the pool must stay where it was scored."""
    kept = made.with_name(f"{made.name}-kept")
    shutil.copytree(made, kept, symlinks=True)
    yield made
    shutil.rmtree(made)
    kept.rename(made)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def gone(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def without_entries(path):
    document = json.loads(path.read_text())
    for job, section in document.items():
        section["outputs"] = {name: row for name, row in section["outputs"].items() if "00001" not in name}
        document[job] = sealed_json.sealed(section)  # so that only the missing entries tell
    path.write_text(json.dumps(document))


def other_number(path):
    """Changes a value deep in a JSON file, and leaves its form."""
    text = path.read_text()
    found = re.search(r'(?s)"(?:samples_per_shard|copies)": (\d+)', text)
    path.write_text(f"{text[: found.start(1)]}{int(found[1]) + 1}{text[found.end(1) :]}")


SELECTION = "out/selections/" + "[0-9a-f]" * 16
FILES = (
    "out/columns/index/00001.parquet",
    "out/columns/net/00001.parquet",
    f"{SELECTION}/decisions/00001.parquet",
    f"{SELECTION}/subset.npy",
    f"{SELECTION}/books.json",
    "out/shards/00000001.tar",
    "out/shard_stats/00000001*",
    "pool/00001.tar",
)
EDITS = [(change, path) for path in FILES for change in (cut, flipped, gone, empty)]
EDITS += [(change, path) for path in ("out/manifest.json", "out/pool.parquet") for change in (cut, gone, empty)]
EDITS += [(without_entries, "out/manifest.json"), (flipped, "out/pool.parquet")]
EDITS += [(change, "out/run.json") for change in (cut, gone, empty, other_number)]
EDITS += [(other_number, path) for path in ("out/manifest.json", f"{SELECTION}/selection.json")]


@pytest.mark.parametrize(("change", "path"), EDITS)
def test_an_edit_is_named(winnow, finished, change, path):
    (edited,) = finished.glob(path)
    change(edited)
    code, stdout, stderr = winnow("verify", "--output", finished / "out", "--report", finished / "report.json")
    assert code in (1, 2), stderr
    assert (stdout, "Traceback" in stderr) == ("", False)
    lines = json.loads((finished / "report.json").read_text())["problems"] if code == 1 else stderr.splitlines()
    name = "00001" if change is without_entries else edited.name if code == 1 else ""
    assert any(name.split(".")[0] in line for line in lines), lines


@pytest.mark.parametrize("path", ["shards/00000099.tar", "columns/net/00099.parquet", "columns/other/00000.parquet"])
def test_a_file_that_no_job_wrote_is_named(winnow, finished, path):
    (finished / "out" / path).parent.mkdir(exist_ok=True)
    source = "shards/00000000.tar" if path.endswith("tar") else "columns/net/00000.parquet"
    shutil.copy(finished / "out" / source, finished / "out" / path)
    assert winnow("verify", "--output", finished / "out")[0] == 1
    problems = json.loads((finished / "out/verify.json").read_text())["problems"]
    assert [line for line in problems if line.startswith(f"{path} is not listed in the manifest")]


def test_an_archive_is_left_as_it_is_where_the_report_goes_elsewhere(winnow, finished):
    before = digests(finished / "out")
    assert winnow("verify", "--output", finished / "out", "--report", finished / "report.json")[0] == 0
    assert digests(finished / "out") == before


@pytest.mark.parametrize(
    ("job", "change", "path"),
    [
        ("reshard", flipped, f"{SELECTION}/subset.npy"),
        ("reshard", other_number, f"{SELECTION}/books.json"),
        ("reshard", other_number, f"{SELECTION}/selection.json"),
        ("reshard", other_number, "out/manifest.json"),
        ("reshard", other_number, "out/run.json"),
        ("select", other_number, "out/manifest.json"),
        ("select", other_number, "out/run.json"),
    ],
)
def test_a_job_goes_by_nothing_that_was_edited(winnow, finished, job, change, path):
    (edited,) = finished.glob(path)
    change(edited)
    before = digests(finished / "out")
    code, stdout, stderr = winnow(job, "--output", finished / "out")
    assert (code, stdout) == (2, ""), stderr
    (line,) = [line for line in stderr.splitlines() if edited.name in line]
    assert "not as it was written" in line or "cut or changed" in line
    assert digests(finished / "out") == before
