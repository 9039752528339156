"""The house as its folders tell it: each package says what it may import, and imports nothing else.

A package's docstring has a sentence ``Imports: ``a``, ``b``.`` and one ``Start reading at ``module``.`` Nothing here
lists packages by name: a new one is held to its own words.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.house import ROOT, TOPS, imports, is_package, modules, package_of, picture, reached

MOST_MODULES = 24
MOST_LINES = 300
MOST_LINES_OF_A_JOB = 145
COMMANDS = "beam_pipelines.commands"  # of commands too, none imports another
SHARED = {"transforms.rows"}  # the element types, which every stage speaks


def declared(text):
    """Returns what a package's docstring says that it imports; None where it says nothing."""
    found = re.search(r"^Imports: (.*?)\.\s+Start\s+reading\s+at\s+``(\w+)``", text, re.DOTALL | re.MULTILINE)
    return found and (set(re.findall(r"``([\w.]+)``", found[1].split(";")[0])), found[2])


def allowed(package, name):
    """Returns whether ``package`` may import the package or module ``name`` of ours, by the words of its docstring."""
    words, _ = declared(ast.get_docstring(ast.parse((package / "__init__.py").read_text())))
    top, *rest = name.split(".")
    if "lib" in package.parts:
        below = rest[1:]
        return top == "transforms" and rest[:1] == ["lib"] and (not below or ".".join(below) in words)
    own = package.parts[-2]
    return (top != own and top in words) or (top == own and bool(rest) and rest[0] in words)


def violations(root):
    known = modules(root)
    for name, path in known.items():
        package = package_of(name, known)
        for target in imports(path, known):
            top = target.split(".")[0]
            if top == "tests" or (top == "apache_beam" and name.startswith("transforms.lib")):
                yield f"{name} imports {target}"
            if top not in TOPS:
                continue
            assert target in known, f"{name} imports {target}, which is not there"
            other = package_of(target, known)
            if package in (*TOPS, "transforms.lib"):
                upward = TOPS.index(top) > TOPS.index(package.split(".")[0])
                inside_lib = package == "transforms.lib" and not target.startswith("transforms.lib")
                alone = package in ("transforms", "beam_pipelines")  # of stages and of jobs, none imports another
                sibling = alone and other == package and target not in (*SHARED, package, name)
                if upward or inside_lib or sibling:
                    yield f"{name} imports {target}"
            elif package == COMMANDS and other == package and target not in (package, name):
                yield f"{name} imports {target}"
            elif other != package:
                shared = target if target in SHARED else other
                if not allowed(root / Path(*package.split(".")), shared):
                    yield f"{name} imports {target}, which its package does not say"


def packages():
    return [path for top in TOPS for path in sorted((ROOT / top).rglob("__init__.py"))]


def test_every_package_imports_what_it_says():
    assert list(violations(ROOT)) == []


@pytest.mark.parametrize("path", packages(), ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_package_is_one_paragraph_and_says_where_to_start_reading(path):
    tree = ast.parse(path.read_text())
    rest = tree.body[1:] if path.parent.name == "winnow" else ()  # what users import by that name
    kinds = (ast.Import, ast.ImportFrom, ast.Assign)
    typed = [one for node in rest if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
             for one in node.body]  # fmt: skip
    others = [node for node in rest if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    assert all(isinstance(node, kinds) for node in (*others, *typed)), "an __init__ holds no code"
    assert len(tree.body) == 1 + len(rest), "an __init__ holds no code"
    text = ast.get_docstring(tree)
    if path.parent.name in (*TOPS, "lib"):
        start = re.search(r"Start\s+reading\s+at\s+``(\w+)``", text)[1]
    else:
        _, start = declared(text)
    assert (path.parent / f"{start}.py").exists() or (path.parent / start / "__init__.py").exists()


def test_no_folder_is_a_heap():
    folders = defaultdict(list)
    for name, path in modules(ROOT).items():
        if not is_package(path):
            folders[path.parent].append(name)
    assert {str(folder): len(names) for folder, names in folders.items() if len(names) > MOST_MODULES} == {}


def test_no_file_and_no_job_outgrows_its_budget():
    sizes = {name: len(path.read_text().splitlines()) for name, path in modules(ROOT).items()}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}
    jobs = {name: size for name, size in sizes.items() if name.rpartition(".")[0] in ("beam_pipelines", COMMANDS)}
    assert {name: size for name, size in jobs.items() if size > MOST_LINES_OF_A_JOB} == {}


def circles(graph):
    """Returns the nodes that reach themselves."""
    return sorted(node for node in graph if node in reached(node, graph))


def test_no_module_and_no_package_is_in_a_circle():
    known = modules(ROOT)
    by_module, by_package = defaultdict(set), defaultdict(set)
    for name, path in known.items():
        for target in imports(path, known):
            if target in known:
                by_module[name].add(target)
                ours, other = package_of(name, known), package_of(target, known)
                roots = {*TOPS, "transforms.lib"}  # stages and jobs are single modules, seen above
                if ours != other and not roots & {ours, other}:
                    by_package[ours].add(other)
    assert circles(by_module) == []
    assert circles(by_package) == []


def test_the_picture_of_the_house_is_drawn_from_its_imports():
    drawn = re.search(r"```mermaid\n(.*?)\n```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)[1]
    assert drawn == picture(), "paste what `python -m tests.house` prints"


SAID = '"""X.\n\nImports: ``rows``, ``tar``. Start reading at ``a``.\n"""\n'


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("transforms/lib/a.py", "import apache_beam"),
        ("transforms/lib/tar/a.py", "import apache_beam"),
        ("transforms/lib/tar/a.py", "from transforms import other"),
        ("transforms/lib/tar/a.py", "from transforms.lib.samples import other"),
        ("transforms/workers/a.py", "from transforms import other"),
        ("transforms/a.py", "from transforms import other"),
        ("transforms/a.py", "from beam_pipelines import other"),
        ("beam_pipelines/a.py", "from beam_pipelines import other"),
        ("beam_pipelines/config/a.py", "from transforms import other"),
        ("beam_pipelines/a.py", "from tests import other"),
    ],
)
def test_an_import_that_was_not_said_is_found(tmp_path, path, line):
    for folder in (*TOPS, "transforms/lib", "transforms/lib/tar", "transforms/lib/samples", "transforms/workers"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "__init__.py").write_text(SAID)
        (tmp_path / folder / "other.py").write_text("")
    (tmp_path / "beam_pipelines/config").mkdir()
    (tmp_path / "beam_pipelines/config/__init__.py").write_text(SAID)
    assert list(violations(tmp_path)) == []
    (tmp_path / path).write_text(line + "\n")
    assert len(list(violations(tmp_path))) == 1


@pytest.mark.parametrize(
    "module",
    ["winnow", "beam_pipelines.cli", "beam_pipelines.running.options", "transforms", "transforms.lib.models.clip"],
)
def test_importing_it_loads_neither_beam_nor_torch(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'apache_beam', 'open_clip'}} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("job", ["select", "reshard", "verify", "dedup", "cluster", "publish", "curate", "score"])
def test_a_job_starts_without_the_libraries_that_only_some_runs_need(job):
    heavy = {"torch", "apache_beam.ml.inference.base", "open_clip", "transformers", "scipy.sparse"}
    code = f"import sys, beam_pipelines.{job}; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
