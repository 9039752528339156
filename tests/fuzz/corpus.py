"""The kept corpus: one zip per target, whose entries are inputs that reached something new, or once failed."""

import hashlib
import zipfile

from tests.fuzz.targets import DATA, TARGETS

FOLDER = DATA / "fuzz"
KEPT_BYTES = 200_000  # of a target, packed or not


def read(target):
    """Returns the seeds of a target and its kept inputs."""
    path = FOLDER / f"{target}.zip"
    kept = []
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            kept = [archive.read(name) for name in sorted(archive.namelist())]
    return [*TARGETS[target][1](), *kept]


def write(target, inputs):
    """Replaces the kept inputs of a target: the shortest ones, as many as may be kept; the same bytes every time."""
    seeds = set(TARGETS[target][1]())
    chosen, size = [], 0
    for data in sorted(set(inputs) - seeds, key=lambda data: (len(data), data)):
        size += len(data)
        if size > KEPT_BYTES:
            break
        chosen.append((hashlib.sha256(data).hexdigest()[:16], data))
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(FOLDER / f"{target}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(chosen):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
