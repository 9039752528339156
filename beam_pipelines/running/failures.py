"""Errors as one line for the user: our own, wherever a runner wrapped them, and those of a disk."""

from __future__ import annotations

import errno
import os
import re
import tempfile

from transforms.lib.errors import CurationError, GateError

# The class and the message of our errors, inside the text of a runner's error.
_OURS = re.compile(
    r"(EmptyPoolError|CapacityError|AccountsError|GateError|ConfigError|InputError|StoreError|MissingError|DamagedError|"
    r"NoBucketError): "
    r"(.*?)(?: \[while running .*|\\n.*)?$",
    re.MULTILINE,
)
_WHERE = re.compile(r" \[while running '.*'\]$")  # a runner adds the name of the transform
_OF_SYSTEM = re.compile(
    r"(?:OSError|[A-Z]\w*Error): (\[Errno (\d+)\] [^\n]*?)(?: \[while running .*|\\n.*)?$", re.MULTILINE
)
_AGAIN = "and run the same command again: what is done is kept"
_FULL = f"{{line}}: the disk is full; make room there, or for TMPDIR ({{tmp}}), {_AGAIN}"
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: f"{{line}}: a file may not grow so large here; raise the limit (`ulimit -f`), {_AGAIN}",
    errno.EROFS: "{line}: it can only be read; name another --output, or mount it for writing",
    errno.EACCES: "{line}: this user has no right to; change the rights, or name another place",
    errno.EPERM: "{line}: this user has no right to; change the rights, or name another place",
    errno.EEXIST: "{line}: something is in the way, such as a link that leads nowhere; remove it",
    errno.ENOTDIR: "{line}: a file is where a folder should be; remove it, or name another place",
    errno.ELOOP: "{line}: its links lead in a circle; remove them, or name another place",
    errno.EMFILE: "{line}: too many files are open; raise `ulimit -n` and run the same command again",
    errno.EIO: f"{{line}}: the disk does not answer; check it, {_AGAIN}",
}
_NO_TMP = "No usable temporary directory found"


def line_of(error: BaseException) -> tuple[str, int] | None:
    """Returns the line and the exit code of an error of which the user can do something; None for any other.

    Args:
      error: ours or the system's; or that of a runner, which holds either in its text.
    """
    if isinstance(error, CurationError):
        code = error.exit_code if isinstance(error, GateError) else CurationError.exit_code
        return _WHERE.sub("", str(error)), code
    if ours := _OURS.findall(str(error)):
        name, line = ours[-1]
        return line, GateError.exit_code if name == GateError.__name__ else CurationError.exit_code
    line = disk_line(error)
    return None if line is None else (line, CurationError.exit_code)


def disk_line(error: BaseException) -> str | None:
    """Returns the line about a disk that is full, cannot be written, or does not answer; None for any other error."""
    text = str(error)
    if _NO_TMP in text:
        return f"no temporary file can be written (TMPDIR is {_tmp()}); make room there, or set TMPDIR to another place"
    if isinstance(error, OSError) and error.errno is not None:
        found = [(_WHERE.sub("", text), str(error.errno))]
    else:
        found = _OF_SYSTEM.findall(text)
    for line, number in reversed(found):
        if hint := _HINTS.get(int(number)):
            return hint.format(line=line, tmp=_tmp())
    return None


def _tmp() -> str:
    """Returns where temporary files lie; finding that out may be what failed."""
    return os.environ.get("TMPDIR", tempfile.tempdir or "/tmp")
