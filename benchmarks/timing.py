"""What a whole command costs."""

from __future__ import annotations

import os
import subprocess
import time
from typing import NamedTuple


class Spent(NamedTuple):
    """Wall clock and CPU time in seconds, and peak memory in MB of the largest process."""

    wall: float
    cpu: float
    peak_mb: float


def spent(command: list[str]) -> Spent:
    """Runs a command to its end, which must be a good one, and returns what it spent; what it prints is dropped."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    assert status == 0, command
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)
