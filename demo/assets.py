"""Fetch and unpack the four packages that the demo's pictures come from; all have licences that allow it.

python -m demo.assets --assets DIR

Needs apt-get and dpkg-deb (Debian), and npm.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

# file -> (command that downloads it into the current folder, sha256)
PACKAGES = {
    "openclipart-png_1%3a0.18+dfsg-19_all.deb": (
        ["apt-get", "download", "openclipart-png=1:0.18+dfsg-19"],
        "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
    ),
    "openclipart-svg_1%3a0.18+dfsg-19_all.deb": (
        ["apt-get", "download", "openclipart-svg=1:0.18+dfsg-19"],
        "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
    ),
    "emoji-datasource-google-16.0.0.tgz": (
        ["npm", "pack", "--silent", "emoji-datasource-google@16.0.0"],
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    ),
    "lobehub-fluent-emoji-3d-1.1.0.tgz": (
        ["npm", "pack", "--silent", "@lobehub/fluent-emoji-3d@1.1.0"],
        "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    ),
}


def fetch(folder: Path) -> Path:
    """Downloads what is absent, checks every sha256, unpacks, and returns the folder of the unpacked files.

    Raises:
      SystemExit: a tool is missing, a download failed, or a file is not the pinned one; one line says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (command, pinned) in PACKAGES.items():
        path = folder / name
        if not path.exists():
            if shutil.which(command[0]) is None:
                raise SystemExit(f"demo: {command[0]} is not installed, and {name} is not in {folder}")
            if subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL).returncode:
                raise SystemExit(f"demo: `{' '.join(command)}` failed; is the package index within reach?")
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != pinned:
            raise SystemExit(f"demo: {path} has sha256 {found}, not {pinned}; delete it and try again")
        _unpack(path, folder / "unpacked" / name.split("_")[0].removesuffix(".tgz"))
    return folder / "unpacked"


def _unpack(path: Path, target: Path) -> None:
    if target.exists():
        return
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if path.suffix == ".deb":
        if shutil.which("dpkg-deb") is None:
            raise SystemExit(f"demo: dpkg-deb is not installed, and {path.name} is not unpacked; apt install dpkg")
        if subprocess.run(["dpkg-deb", "-x", str(path), str(partial)], check=False).returncode:
            raise SystemExit(f"demo: `dpkg-deb -x` could not unpack {path}; is the disk full?")
    else:
        with tarfile.open(path) as archive:
            archive.extractall(partial, filter="data")
    partial.rename(target)


def main(argv: list[str] | None = None) -> int:
    """Fetches the packages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder for downloads and unpacked files")
    print(fetch(parser.parse_args(argv).assets))
    return 0


if __name__ == "__main__":
    sys.exit(main())
