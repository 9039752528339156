"""The documents say what the code does."""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path

import pytest

from beam_pipelines.config.jobs import COMMANDS, JOBS, TOOLS
from beam_pipelines.running.options import parser_of, parser_of_tool
from transforms.lib.errors import Notice, Reason

ROOT = Path(__file__).parents[1]


def cli_page():
    """Returns docs/cli.md as the flags are now."""
    lines = ["# Flags", "", "Flags of Beam and its runners are passed on. Tests hold this page equal to `--help`.", ""]
    for name, job in JOBS.items():
        lines += [f"## winnow {name}", "", job.sentence, "", "```", job.example, "```", "", *table(parser_of(name))]
    for name, tool in TOOLS.items():
        lines += [
            f"## winnow {name}",
            "",
            tool.sentence,
            "",
            "```",
            tool.example,
            "```",
            "",
            *table(parser_of_tool(name)),
        ]
    return "\n".join(lines)


def table(parser):
    flags = [([*action.option_strings, action.metavar][0], action.help) for action in parser._actions[1:]]
    rows = [f"| `{name}` | {text.replace('%%', '%').replace('|', chr(92) + '|')} |" for name, text in flags]
    return ["| flag | |", "|---|---|", *rows, ""]


def test_the_page_of_flags_is_true():
    assert (ROOT / "docs/cli.md").read_text() == cli_page(), "run `make templates`"


def test_every_field_is_a_flag_with_words():
    for name, job in JOBS.items():
        options = {action.dest: action.help for action in parser_of(name)._actions}
        for field in dataclasses.fields(job.settings):
            assert len(options[field.name]) > 10


def test_every_reason_and_every_notice_is_explained():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    assert rows == [*(reason.value for reason in Reason), *(notice.value for notice in Notice)]


def test_links_lead_somewhere():
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_recipe_cites_its_source():
    from beam_pipelines.planning.recipes import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert re.search(r"arXiv:\d{4}\.\d{5}", recipe.source)


def commands(page):
    blocks = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_commands_of_the_readme_work(winnow, tmp_path, monkeypatch):
    found = commands((ROOT / "README.md").read_text())
    assert len(found) >= 8
    for folder in ("pool", "clean"):
        (tmp_path / folder).mkdir()
        shutil.copy(ROOT / "tests/data/pool/00000.tar", tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    for command in found:
        program, *args = shlex.split(command)
        if program == "winnow":
            code, _, stderr = winnow(*args)
            assert code == 0, f"{command}: {stderr}"


@pytest.mark.parametrize("job", [*JOBS, *COMMANDS])
def test_every_job_has_help(winnow, job):
    code, stdout, stderr = winnow(job, "--help")
    assert code == 0
    assert len(stdout + stderr) > 40


def test_the_readme_names_every_job():
    page = (ROOT / "README.md").read_text()
    for job in JOBS:
        assert f"`{job}`" in page
    assert len(page.splitlines()) < 125, "the README is an overview; longer text belongs into docs/"


if __name__ == "__main__":  # `make templates`
    (ROOT / "docs/cli.md").write_text(cli_page())
