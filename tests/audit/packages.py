"""Asks pip-audit for known vulnerabilities of the locked packages, and compares the answer with what is explained here.

python -m tests.audit.packages [--report FILE] [--must]

pip-audit asks PyPI about each package of the lock file, so it needs a network. Where PyPI's advisories cannot be
reached, this says so, and how many packages were not audited; with ``--must`` that is a failure. Without a network, run
`pip-audit -r requirements/dev.txt --require-hashes --disable-pip -f json -o FILE` elsewhere; give `--report FILE`.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = "requirements/dev.txt"  # has the packages of the images too, in the same versions

_SECONDS = 120  # a service that is away must not hold up CI

EXPLAINED: dict[str, str] = {}
"""ID of an advisory -> why it does not concern Winnow."""


def ask():
    """Returns the report of pip-audit; None where it could not make one."""
    command = [sys.executable, "-m", "pip_audit", "-r", LOCK, "--require-hashes", "--disable-pip", "-f", "json",
               "--progress-spinner", "off"]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"pip-audit: no answer within {_SECONDS} s", file=sys.stderr)
        return None
    try:
        return json.loads(done.stdout)
    except ValueError:
        print(f"pip-audit: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None


def verdict(report, explained):
    """Returns (lines about vulnerabilities that nobody explained, names of packages that were not audited)."""
    packages = report["dependencies"]
    lines = []
    for one in packages:
        for found in one.get("vulns", ()):
            if not {found["id"], *found.get("aliases", ())} & explained.keys():
                fixed = ", ".join(found.get("fix_versions", ())) or "no version yet"
                lines.append(f"{one['name']} {one['version']}: {found['id']}, mended in {fixed}")
    return lines, [one["name"] for one in packages if "skip_reason" in one]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, help="what pip-audit found elsewhere, as JSON")
    parser.add_argument("--must", action="store_true", help="fail where packages were not audited")
    told = parser.parse_args(argv)
    report = json.loads(told.report.read_text()) if told.report else ask()
    if report is None:
        print("no package was audited", file=sys.stderr)
        return int(told.must)
    lines, unknown = verdict(report, EXPLAINED)
    for line in lines:
        print(line, file=sys.stderr)
    total = len(report["dependencies"])
    print(f"{total - len(unknown)} of {total} packages of {LOCK} were audited", file=sys.stderr)
    if unknown:
        print(f"not audited, since PyPI's advisories do not have or do not reach them: {', '.join(unknown[:5])} ...",
              file=sys.stderr)  # fmt: skip
    return int(bool(lines) or (told.must and bool(unknown)))


if __name__ == "__main__":
    sys.exit(main())
