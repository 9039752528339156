"""Runs bandit over the code, and compares what it finds with what is explained here; both may have nothing more.

python -m tests.audit.code
"""

import collections
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("beam_pipelines", "transforms", "winnow", "demo")

SKIPPED = {
    "B101": "asserts are for types and in tests that are shipped; no check of data or of a request is one",
    "B311": "draws are science, not secrets; names that must not be guessed come from `secrets`",
    "B404": "every use of subprocess is a finding of its own (B602 to B607)",
}
"""Rule of bandit that is not asked -> why."""

EXPLAINED = {
    ("B107", "transforms/storage/web.py"): (1, "the empty default is 'no token', not a password"),
    ("B108", "beam_pipelines/running/failures.py"): (1, "names the folder in a message; nothing is written there"),
    ("B301", "winnow/laws_of_annotators.py"): (1, "reads what the line before pickled itself, to prove it can be sent"),
    ("B301", "winnow/laws_of_steps.py"): (1, "reads what the line before pickled itself, to prove it can be sent"),
    ("B403", "transforms/lib/clusters/pickled_arrays.py"): (1, "its own Unpickler allows five names, all of arrays"),
    ("B403", "transforms/lib/evaluation/pretraining.py"): (1, "names an error that torch raises; reads nothing"),
    ("B403", "transforms/lib/models/checkpoints.py"): (2, "reads opcodes without running them, to refuse programs"),
    ("B403", "winnow/laws_of_annotators.py"): (1, "see B301"),
    ("B403", "winnow/laws_of_steps.py"): (1, "see B301"),
    ("B603", "beam_pipelines/running/machine_checks.py"): (1, "a fixed command of this machine, without a shell"),
    ("B603", "demo/assets.py"): (2, "fixed commands with paths of this repository, for `make demo-model` alone"),
    ("B603", "transforms/lib/samples/isolated.py"): (1, "this Python and a module of ours; images go in by a pipe"),
    ("B603", "transforms/lib/samples/tfio_formats.py"): (1, "the Python of --tfio_python, which the user names"),
    ("B604", "beam_pipelines/commands/completion.py"): (1, "shell=bash is an argument of shtab; nothing is run"),
    ("B607", "demo/assets.py"): (1, "apt-get and npm of the path, for `make demo-model` alone"),
    ("B610", "beam_pipelines/planning/verify.py"): (1, "a counter's name; there is no SQL"),
    ("B615", "transforms/lib/models/locate.py"): (3, "stamps hold the sha256 of each file, and workers check it"),
    ("B704", "transforms/lib/evaluation/table.py"): (1, "a drawing by a template of this package, which escapes"),
    ("B704", "transforms/lib/report/browse_page.py"): (1, "the style sheet of this package"),
    ("B704", "transforms/lib/report/page.py"): (2, "style and scripts of this package; data is escaped by Jinja"),
}
"""(rule, file) -> (how many findings, why they are none)."""


def findings(*folders):
    """Returns what bandit finds, as its JSON has it."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", *map(str, folders), "-f", "json", "-s", ",".join(SKIPPED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    report = json.loads(done.stdout)
    if report["errors"]:
        raise RuntimeError(str(report["errors"]))
    return report["results"]


def problems(found, explained):
    """Returns a line for each finding that nobody explained, and for each explanation of nothing."""
    counts = collections.Counter((one["test_id"], one["filename"].removeprefix("./")) for one in found)
    lines = [
        f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}"
        for one in found
        if (place := (one["test_id"], one["filename"].removeprefix("./"))) not in explained
        or counts[place] > explained[place][0]
    ]
    return lines + [
        f"{path}: {rule} is explained {count} times and found {counts[rule, path]} times"
        for (rule, path), (count, _) in explained.items()
        if counts[rule, path] < count
    ]


def main():
    lines = problems(findings(*FOLDERS), EXPLAINED)
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        print("mend it, or explain it in tests/audit/code.py", file=sys.stderr)
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
