"""Packages of users: the example, really installed, and packages that are broken in every way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_docs import commands

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/winnow-sharpness"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Returns a folder with the example as pip installs it."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "winnow-sharpness"  # setuptools builds beside the source
    subprocess.run(["cp", "-r", EXAMPLE, source], check=True)
    flags = ["--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", folder]
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, source], check=True)
    return folder


def run(*args, path, cwd=None, module="beam_pipelines.cli"):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, args)], env=environment, cwd=cwd, capture_output=True, text=True
    )


def ok(*args, **where):
    done = run(*args, **where)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_keeps_all_laws(installed, tmp_path):
    told = ok("-q", "-p", "no:cacheprovider", EXAMPLE / "tests", path=installed, cwd=tmp_path, module="pytest")
    assert "100%" in told


def test_the_commands_of_the_example_work_on_workers_too(installed, tmp_path):
    (tmp_path / "pool").symlink_to(ROOT / "tests/data/pool")
    lines = [line for line in commands((EXAMPLE / "README.md").read_text()) if line.startswith("winnow ")]
    assert len(lines) == 4
    for line in lines:
        words = [word.strip("'") for word in line.split()[1:]]
        more = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"] if "annotate" in words else []
        told = ok(*words, *more, path=installed, cwd=tmp_path)
    counts = json.loads(told)
    assert 0 < counts["kept"] < counts["samples"]
    assert ok("verify", "--output", "out", path=installed, cwd=tmp_path)
    # The same recipe of the same columns by plain Python.
    code = (
        "import winnow; t = winnow.open('out').table(['sharpness.score', 'shouting.share', 'copies', 'status'])"
        ".to_pandas(); t = t[t.status == 'ok']; best = t['sharpness.score'].max()"
        "; kept = (t['sharpness.score'] >= best - 3) & (t['shouting.share'] < 0.5)"
        "; assert (kept == (t.copies > 0)).all() and 0 < kept.sum() < len(t)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_list_names_the_parts_and_their_package(installed):
    assert ok("plugins", path=installed).splitlines() == [
        "step  near_best  winnow-sharpness 1.0  ok",
        "annotator  shouting  winnow-sharpness 1.0  ok",
        "scorer  sharpness  winnow-sharpness 1.0  ok",
        "recipe  sharp  winnow-sharpness 1.0  ok",
    ]
    told = ok("recipes", path=installed)
    assert "sharp  [the example of docs/plugins.md]  (winnow-sharpness 1.0)" in told
    assert "    near_best: Keep the samples whose sharpness.score is at most 3 below the best." in told
    assert "  sharpness  scorer of winnow-sharpness 1.0: a number per image\n" in ok("models", path=installed)


def test_other_code_is_another_selection_and_another_score(installed, tmp_path):
    """What a plug-in decides depends on its code, so nothing made by other code is taken for finished."""
    pool = ("--input", f"{ROOT}/tests/data/pool/00000.tar", "--max_reject_fraction", 0.5)
    changed = tmp_path / "changed"
    subprocess.run(["cp", "-r", installed, changed], check=True)
    module = changed / "winnow_sharpness/__init__.py"
    module.write_text(module.read_text() + "\n# another rule\n")
    recipe = tmp_path / "best.yaml"
    recipe.write_text("name: best\nsteps:\n- near_best: {column: sharpness.score, distance: 2}\n")
    found = []
    for path in (installed, installed, changed):
        score = ("score", *pool[:2], "--output", tmp_path / "out", "--model", "sharpness")
        counters = json.loads(ok(*score, path=path))["counters"]
        ok("annotate", "--output", tmp_path / "out", "--columns", "shouting", path=path)
        select = ("select", "--output", tmp_path / "out", "--recipe", recipe, *pool[2:])
        found.append((counters.get("score.shards_scored", 0), json.loads(ok(*select, path=path))["selection"]))
    (first, one), (second, two), (third, three) = found
    assert (first, second, third) == (1, 0, 1)
    assert one == two != three


BROKEN = {
    "absent": ("steps", "absent = no_such_module:Step", "", "ModuleNotFoundError: No module named 'no_such_module'"),
    "raises": ("steps", "raises = raising:X", "raise RuntimeError('at\\nimport')", "RuntimeError: at import"),
    "alien": ("steps", "alien = alien_m:X", "class X: pass", "no class that derives from winnow.plugins.Step"),
    "named": (
        "annotators", "named = named_m:X",
        "from winnow.plugins import *\nclass X(Annotator):\n    kind = 'X'\n    column_sets = ('other',)\n"
        "    def inputs(self): return ()\n    def load(self, fetch): return None\n",
        "states column_sets = ('other',), and not 'named'",
    ),
    "half": ("scorers", "half = half_m:X", "from winnow.plugins import *\nclass X(Scorer): pass", "lacks load"),
    "leaf": ("recipes", "leaf = leaf_m", "", "No such file"),
    "threshold": ("steps", "threshold = threshold_m:X", "", "not used: Winnow has one of this name"),
}  # fmt: skip


def package(folder, name, group, line, code):
    facts = folder / f"bad_{name}-2.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bad-{name}\nVersion: 2.0\n")
    (facts / "entry_points.txt").write_text(f"[winnow.{group}]\n{line}\n")
    module = line.split(" = ")[1].split(":")[0]
    if module != "no_such_module":
        (folder / module).mkdir(exist_ok=True)
        (folder / module / "__init__.py").write_text(code)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    for name, (group, line, code, _) in BROKEN.items():
        package(folder, name, group, line, code)
    package(folder, "twice", "steps", "raises = raising:Y", "")
    return folder


def test_a_broken_part_is_one_line_with_its_package_and_cure(broken):
    lines = {line.split("  ")[1]: line for line in ok("plugins", path=broken).splitlines()}
    assert set(lines) == set(BROKEN)
    for name, (*_, why) in BROKEN.items():
        if name == "raises":
            assert "bad-raises 2.0 and bad-twice 2.0: more than one package has it" in lines[name]
        else:
            assert why in lines[name], lines[name]
        if name not in ("raises", "threshold"):
            assert f"`pip uninstall bad-{name}`" in lines[name]


def test_a_broken_part_stops_whoever_names_it_and_nobody_else(broken, tmp_path):
    pool = ("--input", f"{ROOT}/tests/data/pool/00000.tar", "--output", tmp_path / "out")
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nsteps:\n- absent: {}\n- alien: {}\n")
    done = run("curate", *pool, "--model", "half", "--recipe", recipe, path=broken)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for name in ("absent", "alien", "half"):
        assert f"bad-{name} 2.0 cannot be used" in done.stderr
    assert not (tmp_path / "out").exists()
    assert "dfn  [" in ok("recipes", path=broken)
    ok("curate", *pool, "--keep_fraction", 0.5, "--max_reject_fraction", 0.5, path=broken)
    annotate = run("annotate", "--output", tmp_path / "out", "--columns", "named", path=broken)
    assert annotate.returncode == 2
    assert "plug-in 'named' (winnow.annotators) of bad-named 2.0 cannot be used" in annotate.stderr
    ok("annotate", "--output", tmp_path / "out", "--columns", "caption", path=broken)


def test_a_start_does_not_look_for_plugins():
    code = (
        "import sys; from beam_pipelines import cli; cli.main(['--help']); cli.main(['annotate', '--help']);"
        "assert 'transforms.lib.plugins' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
