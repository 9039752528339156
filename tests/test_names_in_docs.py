"""Every name of code that the pages of ``PAGES`` set in backticks is there, a test included: a stale one fails.

A path is sought from the root, ``transforms``, ``transforms/lib`` and ``beam_pipelines``, a bare file name also beside
the paths of its paragraph. A word in capitals, such as ``NAME``, stands for any. Other names are sought among what the
code defines and the strings that it holds; docstrings and comments do not count.
"""

import ast
import importlib
import re
import sys
from functools import cache
from pathlib import Path

import pytest

from beam_pipelines.config.jobs import COMMANDS, JOBS
from beam_pipelines.running.options import parser_of

ROOT = Path(__file__).parents[1]
PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
BASES = ("", "transforms", "transforms/lib", "beam_pipelines")
CODE = ("transforms", "beam_pipelines", "winnow", "benchmarks")
PHRASES = {"set.column", "from __future__ import annotations"}  # what a name looks like; a line of every module
ANY = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2,}(?![A-Za-z0-9])|<\w+>")
SUFFIXES = (".py", ".md", ".yaml", ".json", ".npy", ".parquet", ".tar", ".toml", ".tf")


class Defined:
    """What the code defines.

    Attributes:
      words: names of modules, packages, classes, functions, parameters, variables and attributes, and strings.
      members: (module or class, a name defined directly in it).
    """

    def __init__(self):
        self.words, self.members = set(), set()
        for path in (path for top in CODE for path in (ROOT / top).rglob("*.py")):
            stem = path.parent.name if path.stem == "__init__" else path.stem
            self.words |= {stem, path.parent.name}
            self.members.add((path.parent.name, path.stem))
            self._collect(stem, ast.parse(path.read_text()))

    def _collect(self, owner, tree):
        for node in ast.iter_child_nodes(tree):
            for name in names_of(node):
                self.words.add(name)
                self.members.add((owner, name))
            text = isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(tree, ast.Expr)
            if text:
                self.words |= {node.value, *re.split(r"[/\s{}]+", node.value)}
            inner = isinstance(node, ast.ClassDef)
            self._collect(node.name if inner else owner, node)


def names_of(node):
    """Returns the names that a node of a syntax tree defines."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.arg() | ast.keyword():
            return [node.arg]
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.Attribute(ctx=ast.Store()):
            return [node.attr]
        case ast.alias():
            return [node.asname or node.name.rpartition(".")[2]]
    return []


@cache
def defined():
    return Defined()


@cache
def flags():
    return {option for job in JOBS for action in parser_of(job)._actions for option in action.option_strings}


def is_path(name, folders=()):
    """Returns whether a path is there, from one of ``BASES`` or beside the files of ``folders``."""
    pattern = ANY.sub("*", name).strip("/")
    return any(any((ROOT / base).glob(pattern)) for base in (*BASES, *folders))


def is_command(name):
    words = name.split()
    match words:
        case ["winnow", job, *rest]:
            known = job in JOBS or job in COMMANDS or ANY.fullmatch(job)
            return bool(known) and all(word in flags() for word in rest if word.startswith("--"))
        case ["make", target]:
            return bool(re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE))
        case ["python", "-m", module, *_]:
            return is_path(module.replace(".", "/") + ".py") or is_path(module.replace(".", "/"))
    return False


def is_defined(name):
    """Returns whether the code has all of ``word``, ``owner.member``, ``call(of, words)`` or ``name = "text"``."""
    code = defined()
    if name in code.words or name in PHRASES:
        return True
    if name.partition(".")[0] in sys.stdlib_module_names and "." in name:
        module, _, member = name.rpartition(".")
        return hasattr(importlib.import_module(module), member)
    dotted = re.findall(r"[A-Za-z_]\w*(?:[.][A-Za-z_]\w*)*", name)
    pairs = [pair for one in dotted for pair in zip(one.split("."), one.split(".")[1:], strict=False)]
    words = [word for one in dotted for word in one.split(".") if not ANY.fullmatch(word)]
    return bool(dotted) and all(pair in code.members for pair in pairs) and all(word in code.words for word in words)


@cache
def names_of_tests():
    """Returns the names of all tests."""
    return {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }


def is_there(name, folders=()):
    """Returns whether a name in backticks is that of something."""
    if name.startswith("test_"):
        return name in names_of_tests()
    if re.match(r"(winnow|make|python) ", name):
        return is_command(name)
    if name.startswith("--"):
        return name.split("=")[0].split()[0] in flags()
    if "/" in name or name.endswith(SUFFIXES):
        parts = [part for part in ANY.sub("", name).split("/") if part]
        of_output = bool(parts) and not name.endswith(".py") and all(part in defined().words for part in parts)
        return is_path(name, folders) or of_output
    return is_defined(name)


def stale(text):
    """Returns the names in backticks of a page that are nowhere; fenced blocks are left out."""
    missing = []
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)):
        names = re.findall(r"`([^`]+)`", paragraph)
        paths = [path for name in names if "/" in name for base in BASES if (path := Path(base, name))]
        folders = {str(path.parent) for path in paths} | {str(path) for path in paths}
        missing += [name for name in names if not is_there(name, [folder for folder in folders if "*" not in folder])]
    return missing


@pytest.mark.parametrize("page", PAGES)
def test_every_name_in_backticks_is_there(page):
    assert stale((ROOT / page).read_text()) == []


@pytest.mark.parametrize(
    "name",
    [
        "recipe.STEPS",
        "annotating.MAKERS",
        "cures.ANNOTATED",
        "Recipe.no_such_method",
        "no_such_word",
        "test_of_nothing",
        "transforms/lib/no_such_file.py",
        "steps/NAME.no_such_suffix",
        "no_such_file.py",
        "no_such_output.json",
        "winnow no-such-job",
        "winnow score --no_such_flag",
        "--no_such_flag",
        "make no-such-target",
        "python -m tests.no_such_module",
        'no_such_attribute = "threshold"',
        "threshold(no_such_parameter)",
    ],
)
def test_a_stale_name_is_reported(name):
    assert stale(f"Look at `{name}`.") == [name]


@pytest.mark.parametrize(
    "name",
    [
        "registry.STEPS",
        "Recipe.as_dict",
        "lib/recipes/steps/NAME.py",
        "beam_pipelines/recipes/NAME.yaml",
        "winnow JOB",
        "winnow score --model",
        "--keep_fraction",
        "make test",
        "python -m tests.house",
        "books.json",
        "columns/<set>/<shard>.parquet",
        'kind = "threshold"',
        "ShardRef(name, uri, size)",
    ],
)
def test_a_name_that_is_there_passes(name):
    assert stale(f"Look at `{name}`.") == []
