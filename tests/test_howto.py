"""The pages that reproduce published curations: their commands, one after another, on the demo pool."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.test_docs import commands

ROOT = Path(__file__).parents[1]
POOL = ROOT / "tests/data/pool"
PAGES = sorted((ROOT / "docs/howto").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_the_page_reproduce_it(page, winnow, tmp_path, monkeypatch):
    text = page.read_text()
    for folder, shards in {"pool": range(6), "clean": [1], "targets": [4]}.items():
        (tmp_path / folder).mkdir()
        for number in shards:
            shutil.copy(POOL / f"{number:05d}.tar", tmp_path / folder)
    for name, content in re.findall(r"This is `([\w.]+)`:\n\n```yaml\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    told = {}
    for line in commands(text):
        program, *words = line.replace("'", "").split()
        assert program == "winnow"
        code, stdout, stderr = winnow(*words)
        assert code == 0, f"{line}: {stderr}"
        told[words[0]] = json.loads(stdout.splitlines()[-1])
    assert 0 < told["select"]["kept"] < told["select"]["samples"]
    assert told["verify"]["problems"] == []
    if page.stem == "m-flyt":
        assert told["select"]["copies"] == 500 > told["select"]["kept"]


def test_the_tutorial_prints_what_it_says(winnow, tmp_path, monkeypatch):
    """Each line below a command of Winnow is a line that it prints."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/tutorial.md").read_text()
    printed = ""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ winnow "):
                code, stdout, stderr = winnow(*line.replace("'", "").split()[2:])
                assert code == 0, f"{line}: {stderr}"
                printed = stdout + stderr
            elif not line.startswith("$ "):
                assert line in printed.splitlines(), f"{line!r} is not in\n{printed}"
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code, {})
