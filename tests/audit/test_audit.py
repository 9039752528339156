"""The audits see what they are for: a planted fault, a planted advisory, a package that nobody asked about."""

import json
import re

from tests.audit import code, packages, sbom


def test_bandit_sees_a_planted_fault_and_an_explanation_of_nothing(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("import subprocess\nsubprocess.run('ls ' + input(), shell=True)\n")
    (found,) = code.findings(tmp_path)
    assert found["test_id"] == "B602"
    place = ("B602", str(planted))
    (line,) = code.problems([found], {})
    assert line.startswith(f"{planted}:2: B602")
    assert not code.problems([found], {place: (1, "")})
    assert code.problems([found, found], {place: (1, "")})
    assert code.problems([], {place: (1, "")}) == [f"{planted}: B602 is explained 1 times and found 0 times"]


def test_an_advisory_fails_the_audit_unless_it_is_explained(tmp_path, capsys):
    vulnerable = {
        "name": "a",
        "version": "1",
        "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2"]}],
    }
    report = {
        "dependencies": [vulnerable, {"name": "b", "version": "1", "vulns": []}, {"name": "c", "skip_reason": "x"}]
    }
    assert packages.verdict(report, {}) == (["a 1: PYSEC-1, mended in 2"], ["c"])
    assert packages.verdict(report, {"CVE-1": "why"}) == ([], ["c"])
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    assert packages.main(["--report", str(path)]) == 1
    report["dependencies"][0]["vulns"] = []
    path.write_text(json.dumps(report))
    assert packages.main(["--report", str(path)]) == 0
    assert "2 of 3 packages" in capsys.readouterr().err
    assert packages.main(["--report", str(path), "--must"]) == 1


def test_a_bill_lists_every_locked_package_with_its_hashes(tmp_path):
    lock = (sbom.ROOT / "requirements" / "launcher.txt").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^ \\;]+)", lock, re.MULTILINE))
    document = sbom.bill("launcher.txt", {"type": "container", "name": "x"})
    assert {one["name"]: one["version"] for one in document["components"]} == pinned
    for one in document["components"]:
        hashes = one["externalReferences"][0]["hashes"]
        assert hashes
        assert all(f"--hash=sha256:{one['content']}" in lock for one in hashes)
    assert document == sbom.bill("launcher.txt", {"type": "container", "name": "x"})
