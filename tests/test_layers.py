"""Imports point down: lib knows no Beam, stages do not know one another, jobs do not know jobs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYER1 = {
    f"transforms.{name}"
    for name in (
        "lib",
        "outputs",
        "workers",
        "rows",
        "storage",
        "addresses",
        "objectread",
        "gcs",
        "s3",
        "storeerrors",
        "store",
        "books",
        "faceboxes",
        "contents",
        "scoreshard",
        "handler",
        "clusterdata",
        "decideshard",
        "sortuids",
        "writeshard",
        "fitted",
        "crawls",
        "uidlists",
        "dedupshard",
        "thumbnails",
    )
}
JOBS = {
    "curate",
    "score",
    "annotate",
    "dedup",
    "select",
    "reshard",
    "verify",
    "publish",
    "train_filter",
    "import_scores",
    "cluster",
    "train_mix",
    "train_flyt",
    "score_flyt",
    "import_datacomp",
    "explain",
    "export_subset",
    "import_subset",
    "listing",
}


def imports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def violations(root):
    for path in sorted([*root.glob("transforms/**/*.py"), *root.glob("beam_pipelines/**/*.py")]):
        parts = path.relative_to(root).parts
        for name in imports(path):
            ours = name.split(".")
            if parts[:2] == ("transforms", "lib"):
                bad = ours[0] in ("apache_beam", "beam_pipelines", "tests")
                bad |= ours[0] == "transforms" and len(ours) > 1 and ours[1] != "lib"
            elif parts[0] == "transforms":
                stage = f"transforms.{path.stem}"
                bad = ours[0] in ("beam_pipelines", "tests")
                if ours[0] == "transforms" and len(ours) > 1:
                    below = ".".join(ours[:2])
                    bad |= below not in LAYER1 and below != stage
            else:
                bad = ours[0] == "tests"
                bad |= path.stem in JOBS and ours[0] == "beam_pipelines" and len(ours) > 1 and ours[1] in JOBS
            if bad:
                yield f"{path.relative_to(root)} imports {name}"


def test_imports_point_down():
    assert list(violations(ROOT)) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("transforms/lib/x.py", "import apache_beam"),
        ("transforms/lib/x.py", "from transforms import storage"),
        ("transforms/x.py", "from transforms import score"),
        ("transforms/x.py", "from beam_pipelines import config"),
        ("beam_pipelines/score.py", "from beam_pipelines import curate"),
    ],
)
def test_an_upward_import_is_found(tmp_path, path, line):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(line + "\n")
    assert list(violations(tmp_path))


@pytest.mark.parametrize(
    "module", ["beam_pipelines.cli", "beam_pipelines.running.options", "transforms", "transforms.lib.models.clip"]
)
def test_importing_it_loads_neither_beam_nor_torch(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'apache_beam', 'open_clip'}} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
