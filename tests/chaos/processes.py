"""Real processes of jobs: started, watched, stopped and killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(*args, environment=None):
    """Starts a job in a process of its own; ends with it."""
    command = [sys.executable, "-m", "beam_pipelines.cli", *map(str, args)]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(environment or {})}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def until(there, process, seconds=240):
    """Waits until something is there, or the process has ended; returns whether it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if there():
            return True
        if process.poll() is not None:
            return there()
        time.sleep(0.005)
    raise TimeoutError


def kill(process):
    """Kills a process and what it started, as a machine that goes away does."""
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
