"""Writes the bills of materials, CycloneDX 1.6, of the images' packages and of the wheel, from the lock files.

python -m tests.audit.sbom --output out/sbom

worker.cdx.json and launcher.cdx.json list what the images install; wheel.cdx.json names the wheel, with its sha256, and
what it was tested with. Equal inputs give equal bytes. The packages of the base images are not in them: scan these.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = {"worker": "base.txt", "launcher": "launcher.txt", "wheel": "base.txt"}


def wheel(folder):
    """Builds the wheel; returns its path."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def bill(lock, component):
    """Returns the bill of a lock file as JSON values, with the component that it is of."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--of", "JSON", "-o", "-"]
    path = str(ROOT / "requirements" / lock)
    document = json.loads(subprocess.run([*command, path], check=True, capture_output=True).stdout)
    for one in document["components"]:  # the text of the lock, whose hashes are beside it
        one.pop("description", None)
    document["metadata"]["component"] = {**component, "bom-ref": "winnow"}
    document["dependencies"] = [
        {"ref": "winnow", "dependsOn": sorted(one["bom-ref"] for one in document["components"])},
        *({"ref": one["bom-ref"]} for one in document["components"]),
    ]
    return document


def component(name, path):
    """Returns what a bill is of: the wheel, or an image that installs it."""
    version = path.name.split("-")[1]
    if name != "wheel":
        return {"type": "container", "name": f"winnow-{name}", "version": version}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "library", "name": "winnow-beam", "version": version, "purl": f"pkg:pypi/winnow-beam@{version}",
        "hashes": [{"alg": "SHA-256", "content": digest}], "licenses": [{"license": {"id": "Apache-2.0"}}],
    }  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "sbom")
    told = parser.parse_args(argv)
    told.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = wheel(Path(folder))
        for name, lock in LOCKS.items():
            document = bill(lock, component(name, path))
            (told.output / f"{name}.cdx.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
