"""What a test says about whole output folders."""

import hashlib


def digests(folder, *without):
    """Returns path -> sha256 of every file below a folder, but those named."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in without
    }
