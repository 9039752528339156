"""Shows how far a job is, from the lines that its workers log (``transforms.lib.work_lines``).

It works wherever these lines reach the process that started the job: workers in this process, in processes of the
local runner, and in a loopback environment of Prism, Flink or Spark. On a terminal it shows one bar per kind of work;
elsewhere it prints one plain line per minute.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import resource
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from transforms.lib import work_lines
from transforms.lib.work_lines import WorkLine

EVERY = 60.0
"""Seconds between two plain lines."""
_REFRESH = 0.5  # seconds between two looks of a bar
_BAR = "{desc} {bar:20} {n_fmt}/{total_fmt} shards, {elapsed}{postfix}"
# The local runner logs what workers in processes of their own send it, as one text with the line inside.
FORWARDING = "apache_beam.runners.portability.local_job_service"
"""Name of the logger of that text."""
_FORWARDED = re.compile(r'\bmessage: "(.*?)" ')


@dataclasses.dataclass
class Tally:
    """How far one kind of work is.

    Attributes:
      work: a verb, such as ``score``.
      total: shards there are; None where that is not known yet.
      done, skipped, failed: shards that are finished now, that were finished before, and attempts that failed.
      samples, rejected: of the finished shards.
      running: samples done so far of each shard that is being worked on.
      start, last: times of the first and of the last line, in seconds of ``time.monotonic``.
    """

    work: str
    total: int | None = None
    done: int = 0
    skipped: int = 0
    failed: int = 0
    samples: int = 0
    rejected: int = 0
    running: dict[str, int] = dataclasses.field(default_factory=dict)
    start: float = dataclasses.field(default_factory=time.monotonic)
    last: float = dataclasses.field(default_factory=time.monotonic)

    def add(self, line: WorkLine) -> None:
        """Counts one line."""
        self.last = time.monotonic()
        if line.state in (work_lines.BEGUN, work_lines.AT):
            self.running[line.shard] = line.samples or 0
            return
        self.running.pop(line.shard, None)
        self.done += line.state == work_lines.DONE
        self.skipped += line.state == work_lines.SKIPPED
        self.failed += line.state == work_lines.FAILED
        self.samples += line.samples or 0
        self.rejected += line.rejected or 0

    @property
    def finished(self) -> int:
        """Shards that need no more work."""
        return self.done + self.skipped

    def samples_so_far(self) -> int:
        """Returns the samples of the finished shards and of those being worked on."""
        return self.samples + sum(self.running.values())

    def facts(self, now: float) -> list[str]:
        """Returns samples, samples per second, rejects, memory and the time left, as words."""
        seconds, samples = (now if self.running else self.last) - self.start, self.samples_so_far()
        facts = [f"{samples:,} samples", f"{samples / seconds:,.0f} samples/s"] if samples and seconds > 0 else []
        facts += [
            f"{count:,} {name}" for name, count in (("rejected", self.rejected), ("failed", self.failed)) if count
        ]
        facts.append(f"{peak_memory() / 2**30:.1f} GiB")
        left = self._left(seconds, samples)
        return [*facts, f"{_span(left)} left"] if left else facts

    def _left(self, seconds: float, samples: int) -> float | None:
        """Returns an estimate of the seconds left; shards count by their samples where those are known."""
        if self.total is None or self.finished >= self.total or not (self.done or (samples and self.finished)):
            return None
        per_shard = self.samples / self.done if self.done and self.samples else 0
        done = samples / per_shard if per_shard else float(self.done)
        return seconds / done * max(0.0, self.total - self.skipped - done)

    def text(self, now: float) -> str:
        """Returns one plain line."""
        total = "" if self.total is None else f" of {self.total:,}"
        return f"{self.work} {self.finished:,}{total} shards, {', '.join(self.facts(now))}"


class Tallies(logging.Handler):
    """Reads the lines of workers from the log and counts them.

    Args:
      shards: of the pool; every kind of work has as many, unless its plan says otherwise. None where it is not known.
    """

    def __init__(self, shards: int | None) -> None:
        super().__init__(logging.DEBUG)
        self._shards = shards
        self._tallies: dict[str, Tally] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Counts a record if it is the line of a worker."""
        if record.name == FORWARDING:
            forwarded = _FORWARDED.search(record.getMessage())
            text = forwarded[1] if forwarded else ""
        elif record.name.startswith("transforms."):
            text = record.getMessage()
        else:
            return
        if (line := work_lines.read(text)) is not None:
            self._tally(line.work).add(line)
        elif (plan := work_lines.read_planned(text)) is not None:
            self._tally(plan[0]).total = plan[1]

    def _tally(self, work: str) -> Tally:
        if work not in self._tallies:
            self._tallies[work] = Tally(work, self._shards)
        return self._tallies[work]

    def seen(self) -> list[Tally]:
        """Returns copies of the tallies, in the order in which their work began."""
        self.acquire()
        try:
            return [dataclasses.replace(tally, running=dict(tally.running)) for tally in self._tallies.values()]
        finally:
            self.release()


@contextlib.contextmanager
def shown(job: str, shards: int | None, stream: TextIO) -> Iterator[Tallies]:
    """Shows progress on a stream for as long as a ``with`` block runs.

    Args:
      job: its name, which starts each plain line.
      shards: of the pool; None where it is not known.
      stream: where to; bars if it is a terminal, else a line per minute.
    """
    tallies, ended = Tallies(shards), threading.Event()
    show = _bars if stream.isatty() else _lines
    thread = threading.Thread(target=show, args=(job, tallies, ended, stream), name="winnow-progress", daemon=True)
    thread.start()
    try:
        with _heard(tallies):
            yield tallies
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _heard(tallies: Tallies) -> Iterator[None]:
    """Lets the tallies read the log, without showing more of it to the user."""
    ours, forwarding = logging.getLogger("transforms"), logging.getLogger(FORWARDING)
    before = ours.level, forwarding.level, forwarding.propagate
    ours.setLevel(logging.DEBUG)
    forwarding.setLevel(logging.INFO)
    forwarding.propagate = False
    for logger in (ours, forwarding):
        logger.addHandler(tallies)
    try:
        yield
    finally:
        for logger in (ours, forwarding):
            logger.removeHandler(tallies)
        ours.setLevel(before[0])
        forwarding.setLevel(before[1])
        forwarding.propagate = before[2]


def _lines(job: str, tallies: Tallies, ended: threading.Event, stream: TextIO) -> None:
    while not ended.wait(EVERY):
        now = time.monotonic()
        for tally in tallies.seen()[-1:]:  # earlier work is over, or waits for this one
            print(f"winnow {job}: {tally.text(now)}", file=stream, flush=True)


def _bars(job: str, tallies: Tallies, ended: threading.Event, stream: TextIO) -> None:
    from tqdm import tqdm

    bars: dict[str, Any] = {}
    while True:
        last = ended.wait(_REFRESH)
        now = time.monotonic()
        for tally in tallies.seen():
            if tally.work not in bars:
                bars[tally.work] = tqdm(desc=tally.work, file=stream, dynamic_ncols=True, bar_format=_BAR)
            bar = bars[tally.work]
            bar.total, bar.n = tally.total, tally.finished
            bar.set_postfix_str(", ".join(tally.facts(now)), refresh=False)
            bar.refresh()
        if last:
            break
    for bar in bars.values():
        bar.close()


def peak_memory() -> int:
    """Returns the most bytes of memory that this process has held.

    Linux carries ``ru_maxrss`` over from the program that started this one, so its own figure is read there.
    """
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _span(seconds: float) -> str:
    """Returns a time in words: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
