"""Which process wrote something, and whether it is still alive: what tells a dead run from a live one."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import socket
from pathlib import Path

_TAG = re.compile(r"(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<born>\d+)")


@functools.cache
def _machine() -> str:
    """Returns 8 hex digits for this machine since it was started, and for the processes that see one another on it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):  # elsewhere than on Linux the name of the machine has to do
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _born(pid: int) -> int | None:
    """Returns when a process began, in ticks since the machine did; 0 where that cannot be told, None for none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return 0
    except OSError:
        return 0
    return None if fields[0] in "ZX" else int(fields[19])


def own_tag() -> str:
    """Returns what names this process: the machine, its number there, and when it began."""
    return _tag(os.getpid())


@functools.lru_cache(maxsize=1)
def _tag(pid: int) -> str:
    return f"{_machine()}-{pid}-{_born(pid) or 0}"


def is_alive(tag: str) -> bool | None:
    """Tells whether a process lives; None where it is of another machine, so that this one cannot tell.

    Args:
      tag: what ``own_tag`` gave in that process; any other text is of no process.
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        return False
    if match["machine"] != _machine():
        return None
    born = _born(int(match["pid"]))
    return born is not None and str(born) in (match["born"], "0")
