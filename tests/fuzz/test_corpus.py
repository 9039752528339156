"""Every input that fuzzing kept is read, or refused as documented; the driver without atheris finds a planted fault."""

import random
import subprocess
import sys

import pytest

from tests.fuzz import corpus, one, run, targets


@pytest.mark.parametrize("target", targets.TARGETS)
def test_kept_inputs_are_read_or_refused(target):
    inputs = corpus.read(target)
    assert inputs
    for data in inputs:
        targets.TARGETS[target][0](data)


@pytest.mark.parametrize("target", targets.TARGETS)
def test_inputs_near_them_are_read_or_refused(target):
    draw, inputs = random.Random(1), corpus.read(target)
    for _ in range(200):
        targets.TARGETS[target][0](one.mutated(draw.choice(inputs), draw.choice(inputs), draw))


def test_a_fault_is_found_and_its_input_kept(tmp_path):
    code = (
        "import sys\nsys.modules['atheris'] = None\n"
        "from tests.fuzz import one, targets\n"
        "def planted(data):\n  assert b'\\xff' not in data[:4]\n"
        "targets.TARGETS['json'] = (planted, lambda: [b'words'])\n"
        "sys.argv = ['one', 'json', sys.argv[1], '--seconds', '60']\none.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=run.ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "AssertionError" in done.stderr
    assert b"\xff" in one.last_of(tmp_path / "last")[:4]
