"""Local copies of remote files, in a private folder that the processes of one user share on a machine.

winnow-fetched-UID/            mode 0700, this user's, no link; else nothing in it is used
winnow-fetched-UID/VERSION/    one file or folder as it was at one time; it appears whole
    record.json                path -> [bytes, sha256]; its time is that of the last use
    files/NAME...              the files, checked against the record before they are used

Every process may download, place and clean at the same time as others: what is looked up, placed or removed is so
under the lock of the folder, and a download is made beside it under a name of its own.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from transforms.lib import addresses
from transforms.lib.errors import InputError, StoreError
from transforms.storage.client import FileInfo
from transforms.storage.local import is_dead, is_partial, locked, partial_name

UNUSED_DAYS = 7
"""Days after which a copy that nobody asked for is removed."""

_PIECE_BYTES = 1 << 24
_RECORD = "record.json"
_ANOTHER = "set TMPDIR to a folder of your own"

Open = Callable[[str], AbstractContextManager[BinaryIO]]


def local_copy(uri: str, files: Sequence[FileInfo], open_read: Open) -> str:
    """Returns the local copy of a remote file, or of a folder of files; downloads it where there is no sound one.

    Args:
      uri: address of the file or folder.
      files: the file itself, or what is in the folder; none for a path that does not exist.
      open_read: opens a remote file.

    Raises:
      InputError: the folder of copies is not this user's alone; a name leads out of it; or it cannot be written to.
      StoreError: a file changed while it was read. Other errors as ``open_read``.
    """
    version = hashlib.sha256(repr(files).encode()).hexdigest()[:16]
    name = addresses.without_query(uri).rstrip("/").rpartition("/")[2]
    paths = {info: _below(uri, name, info.uri) for info in files}
    root = Path(tempfile.gettempdir(), f"winnow-fetched-{os.geteuid()}")
    entry = root / version
    if files:
        _make_private(root)
        if not _use(root, entry, paths.values()):
            _download(root, entry, paths, open_read)
    return str(entry / "files" / name)


def _below(uri: str, name: str, file: str) -> str:
    """Returns the path of a file below the folder ``files``.

    Raises:
      InputError: it is not below it: a store takes ``..`` for the name of a folder like any other.
    """
    folder = uri.rstrip("/") + "/"
    path = f"{name}/{file.removeprefix(folder)}" if file.startswith(folder) else name
    if any(part in ("", ".", "..") or "\0" in part for part in path.split("/")):
        raise InputError(f"{file}: a name like this cannot be written to a disk; give the file another name")
    return path


def _make_private(root: Path) -> None:
    """Makes the folder of copies, or checks that no other user can have put something into it.

    Raises:
      InputError: it is a link, another user's, or open to others; or it cannot be made.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(root, 0o700)
        found = os.lstat(root)
    except OSError as error:
        raise InputError(f"{root}: the folder of fetched files cannot be made ({error.strerror}); {_ANOTHER}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise InputError(f"{root} is no folder, but fetched files are kept there; remove it, or {_ANOTHER}")
    if found.st_uid != os.geteuid():
        raise InputError(f"{root} belongs to another user, so its fetched files are not trusted; {_ANOTHER}")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise InputError(
            f"{root} is open to other users (mode {mode:04o}), so its fetched files are not trusted; remove it, or "
            f"{_ANOTHER}"
        )


def _use(root: Path, entry: Path, paths: Collection[str]) -> bool:
    """Tells whether a sound copy is there; notes that it is used, so that nobody removes it."""
    with contextlib.suppress(OSError), locked(str(root)):
        os.utime(entry / _RECORD)
    return _is_sound(root, entry, paths)


def _is_sound(root: Path, entry: Path, paths: Collection[str]) -> bool:
    """Tells whether a copy holds what was written: every file, no link among them, of its size and digest."""
    try:
        record = json.loads((entry / _RECORD).read_bytes())
        return record.keys() == set(paths) and all(
            _is_file(root, entry / "files" / path, *facts) for path, facts in record.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _is_file(root: Path, path: Path, size: int, sha256: str) -> bool:
    found = os.lstat(path)
    straight = os.path.realpath(path) == os.path.join(os.path.realpath(root), path.relative_to(root))
    if not (straight and stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_size == size):
        return False
    return _digest(str(path), found.st_ino, found.st_mtime_ns, found.st_ctime_ns) == sha256


@functools.lru_cache(maxsize=1024)
def _digest(path: str, *_version: int) -> str:
    """Returns the sha256 of a file; a file of the same node and times is read once per process."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(root: Path, entry: Path, paths: Mapping[FileInfo, str], open_read: Open) -> None:
    """Makes a copy beside the others, and puts it in its place whole."""
    made = root / partial_name(entry.name)
    try:
        with locked(str(root)):
            _clean(root)
        record = {path: _copy(info, made / "files" / path, open_read) for info, path in paths.items()}
        with _writing(made):
            (made / _RECORD).write_text(json.dumps(record))
            with locked(str(root)):
                if not _is_sound(root, entry, paths.values()):  # else another process was faster
                    _remove(entry)
                    os.rename(made, entry)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _copy(info: FileInfo, target: Path, open_read: Open) -> tuple[int, str]:
    """Downloads a file; returns its bytes and sha256."""
    digest, size = hashlib.sha256(), 0
    with open_read(info.uri) as source, contextlib.ExitStack() as stack:
        with _writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(target.open("xb"))
        while piece := source.read(_PIECE_BYTES):
            with _writing(target):
                file.write(piece)
                file.flush()
            digest.update(piece)
            size += len(piece)
    if size != info.size:
        raise StoreError(f"{info.uri} was replaced while it was read; run the same command again")
    return size, digest.hexdigest()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turns the errors of a disk into one line: of what is wrong here, the user can do something."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: a fetched file cannot be written ({error.strerror}); make room there, or set TMPDIR to another "
            f"place, and run the same command again"
        ) from None


def _clean(root: Path) -> None:
    """Removes copies that nobody used for a week, and what killed processes left half made."""
    oldest = time.time() - UNUSED_DAYS * 86_400
    for path in root.iterdir():
        with contextlib.suppress(OSError):  # one that cannot be removed is in nobody's way
            if is_dead(str(path)) if is_partial(path.name) else _used(path) < oldest:
                _remove(path)


def _used(entry: Path) -> float:
    """Returns when a copy was last asked for."""
    record = entry / _RECORD
    return os.lstat(record if record.exists() else entry).st_mtime


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
