"""``winnow completion``: the script works in a real shell."""

import shutil
import subprocess
import sys

import pytest

from beam_pipelines import cli

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_winnow
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "winnow.bash"
    command = [sys.executable, "-m", "beam_pipelines.cli", "completion", "bash"]
    path.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    return path


def completed(script, *words):
    bash = ["bash", "--norc", "-c", COMPLETE, "bash", str(script), "winnow", *words]
    return subprocess.run(bash, capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["resh"], ["reshard"]),
        (["select", "--keep"], ["--keep_fraction"]),
        (["select", "--recipe", "df"], ["dfn"]),
        (["score", "--device", "cu"], ["cuda"]),
        (["score", "--runner", "Pri"], ["PrismRunner"]),
        (["score", "--preset", "l4"], ["l4"]),
        (["completion", "z"], ["zsh"]),
        (["launch", "--proj"], ["--project"]),
    ],
)
def test_bash_completes_jobs_flags_and_values(script, words, expected):
    assert completed(script, *words) == expected


def test_bash_completes_files(script, tmp_path):
    (tmp_path / "only.parquet").touch()
    assert completed(script, "import-scores", "--input", str(tmp_path / "on")) == [str(tmp_path / "only.parquet")]


@pytest.mark.parametrize(("shell", "checker"), [("zsh", "zsh"), ("tcsh", "tcsh")])
def test_other_shells_can_read_their_scripts(shell, checker, tmp_path, capsys):
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "reshard" in script
    if not shutil.which(checker):
        pytest.skip(f"there is no {checker} here")
    (tmp_path / "script").write_text(script)
    subprocess.run([checker, "-n", str(tmp_path / "script")], check=True)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ([], "name one shell of bash, zsh, tcsh"),
        (["bsh"], "there is no script for 'bsh'; did you mean bash?"),
        (["fish"], "there are bash, zsh, tcsh"),
    ],
)
def test_a_shell_that_is_not_there_is_refused(args, line, capsys):
    assert cli.main(["completion", *args]) == 2
    assert line in capsys.readouterr().err


def test_a_missing_library_is_told_with_its_cure(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 2
    assert "pip install 'winnow-beam[completion]'" in capsys.readouterr().err
