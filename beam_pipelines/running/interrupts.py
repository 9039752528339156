"""What Ctrl-C and SIGTERM do: a job ends at once, with one line and exit code 130, and the same command goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from beam_pipelines.running.progress import Tallies

EXIT_CODE = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 5.0  # seconds for what is to be undone
_CLEAR = "\r\x1b[K"  # a bar of progress goes

Undo = list[Callable[[], None]]


@contextlib.contextmanager
def handled(job: str) -> Iterator[Undo]:
    """Ends the process by one line when it is interrupted while a ``with`` block runs.

    Threads of Beam work on and cannot be stopped, so the process is left without waiting for them. That is safe: a file
    is whole or absent, and the next run removes what is half written.

    Args:
      job: its name, for the line.

    Yields:
      a list for what is to be undone before the process ends.
    """
    undo: Undo = []
    if threading.current_thread() is not threading.main_thread():  # only that one hears signals
        yield undo
        return
    tallies = Tallies(None)
    logging.getLogger("transforms").addHandler(tallies)

    def stop(*_: Any) -> None:
        done = [f"{tally.work} {tally.finished:,} shards" for tally in tallies.seen() if tally.finished]
        what = f" after {', '.join(done)}" if done else ""
        end(f"winnow {job}: stopped{what}; what is done is kept: run the same command again to go on", EXIT_CODE, undo)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield undo
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        logging.getLogger("transforms").removeHandler(tallies)


def end(line: str, code: int, undo: Undo) -> None:
    """Ends this process and its children with a line on stderr; may be called in any thread, and in a signal handler.

    Args:
      line: for the user.
      code: the exit code.
      undo: what is to be undone before, in a thread of its own, since the interrupted one may hold any lock.
    """
    for number in _SIGNALS:
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(number, signal.SIG_IGN)

    def undone() -> None:
        for each in undo:
            with contextlib.suppress(Exception):  # it is undone by the next run, too
                each()

    worker = threading.Thread(target=undone, daemon=True)
    worker.start()
    worker.join(_PATIENCE)
    os.write(2, f"{_CLEAR if sys.stderr.isatty() else ''}{line}\n".encode())
    for child in _children():
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGTERM)
    os._exit(code)


def _children() -> list[int]:
    """Returns the processes that this one started; none where the system does not list them."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found
