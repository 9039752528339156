"""``winnow`` itself: its overview, its help, and what it says to a word or flag that it does not know."""

import subprocess
import sys

import pytest

from beam_pipelines import cli
from beam_pipelines.config.jobs import COMMANDS, JOBS

WINNOW = [sys.executable, "-m", "beam_pipelines.cli"]


@pytest.mark.parametrize("name", ["", *JOBS, *COMMANDS])
def test_no_line_of_a_help_is_wider_than_80_columns(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main([name, "--help"] if name else ["--help"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip()
    assert printed.err == ""
    assert [line for line in printed.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", JOBS)
def test_required_flags_come_first_in_a_help(name, capsys):
    cli.main([name, "--help"])
    text = capsys.readouterr().out
    flags = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    required = [word for word in text.partition("\n\n")[0].split() if word.startswith("--")]
    assert flags[: len(required)] == required


def test_help_says_nothing_when_nobody_reads_it():
    for args in (["--help"], ["curate", "--help"], ["models", "--help"]):
        process = subprocess.Popen([*WINNOW, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["select", "--keep-fraction", "0.3"], "--keep-fraction is unknown; did you mean --keep_fraction?"),
        (["select", "--output", "o", "--recpe=dfn"], "--recpe=dfn is unknown; did you mean --recipe?"),
        (["launch", "score", "--projct", "x"], "--projct is unknown; did you mean --project?"),
        (["plan", "--sample-bytes", "3"], "--sample-bytes is unknown; did you mean --sample_bytes?"),
        (["scroe"], "there is no job 'scroe'; did you mean score?"),
    ],
)
def test_a_word_that_is_spelled_wrong_gets_the_right_one(args, hint, capsys):
    assert cli.main(args) == 2
    assert hint in capsys.readouterr().err


def test_a_pattern_that_the_shell_expanded_is_told_with_its_cure(winnow, small_pool, tmp_path):
    shards = sorted(small_pool.glob("*.tar"))
    code, _, stderr = winnow("score", "--input", *shards, "--output", tmp_path / "out")
    assert code == 2
    assert f"put it in quotes: '{small_pool}/0000*.tar'" in stderr
